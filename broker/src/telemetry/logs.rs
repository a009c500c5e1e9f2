//! Logs on stderr: `ISTHMUS_LOG` filters (default `info`), `ISTHMUS_LOG_FORMAT` is `text` or `json`.
//!
//! What a client sent (ClientId, user name, topic) is logged in its escaped `Debug` form only.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// The filter's variable, in the syntax of `tracing_subscriber::EnvFilter`.
pub const FILTER_VARIABLE: &str = "ISTHMUS_LOG";
/// The format's variable.
pub const FORMAT_VARIABLE: &str = "ISTHMUS_LOG_FORMAT";

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not one.
    #[error("{FILTER_VARIABLE}={value:?}: {source}; an example is \"info,isthmus_broker=debug\"")]
    Filter {
        /// What was set.
        value: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// The format is unknown.
    #[error("{FORMAT_VARIABLE}={0:?}: expected \"text\" or \"json\"")]
    Format(String),
    /// Somebody else was first.
    #[error("logging is set up already: {0}")]
    Installed(#[from] tracing_subscriber::util::TryInitError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Json,
}

/// Sets up logging for the process from the environment.
///
/// # Errors
/// When a variable is not understood, or logging is set up already.
pub fn init() -> Result<(), LogError> {
    use tracing_subscriber::util::SubscriberInitExt;
    let variable = |name| std::env::var(name).ok();
    let filter = filter(variable(FILTER_VARIABLE).as_deref())?;
    let format = format(variable(FORMAT_VARIABLE).as_deref())?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        Format::Text => builder.compact().finish().try_init()?,
        Format::Json => builder.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}

fn filter(value: Option<&str>) -> Result<EnvFilter, LogError> {
    let value = value
        .map(str::trim)
        .filter(|v| !v.is_empty())
        .unwrap_or("info");
    EnvFilter::try_new(value).map_err(|source| LogError::Filter {
        value: value.to_owned(),
        source,
    })
}

fn format(value: Option<&str>) -> Result<Format, LogError> {
    match value.map(str::trim) {
        None | Some("" | "text") => Ok(Format::Text),
        Some("json") => Ok(Format::Json),
        Some(other) => Err(LogError::Format(other.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_is_text_unless_json_is_asked_for() {
        assert_eq!(format(None).unwrap(), Format::Text);
        assert_eq!(format(Some(" json ")).unwrap(), Format::Json);
        let error = format(Some("xml")).unwrap_err().to_string();
        assert!(
            error.contains("ISTHMUS_LOG_FORMAT") && error.contains("xml"),
            "{error}"
        );
    }

    #[test]
    fn filter_is_info_unless_set_and_a_bad_one_names_its_variable() {
        assert_eq!(filter(None).unwrap().to_string(), "info");
        assert_eq!(filter(Some("debug")).unwrap().to_string(), "debug");
        let error = filter(Some("a=b=c")).unwrap_err().to_string();
        assert!(error.contains("ISTHMUS_LOG"), "{error}");
    }
}
