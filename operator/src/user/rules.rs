//! The rules between the fields of an `MqttUser`. The effective username is `spec.username` or
//! `metadata.name`, so that adding a username equal to the name is no change.

use crate::rules::{KindRules, Rule};

/// All of them.
pub const RULES: KindRules = KindRules {
    root: &[&NAME],
    spec: &[&CHARACTERS, &INSTANCE, &ONE_SECRET, &SECRET_NAME],
};

pub(super) const NAME: Rule = Rule {
    cel: "(has(self.spec.username) ? self.spec.username : self.metadata.name) \
          == (has(oldSelf.spec.username) ? oldSelf.spec.username : oldSelf.metadata.name)",
    message: "cannot be changed: make another MqttUser",
    field: "spec.username",
};

pub(super) const CHARACTERS: Rule = Rule {
    cel: r"!has(self.username) || self.username.matches('^[^+#/\\x00-\\x1f\\x7f-\\x{9f}]{1,256}$')",
    message: "a username has 1 to 256 characters, none of + # / and no control characters",
    field: "spec.username",
};

pub(super) const INSTANCE: Rule = Rule {
    cel: "self.instanceRef.name == oldSelf.instanceRef.name",
    message: "cannot be changed: make another MqttUser",
    field: "spec.instanceRef.name",
};

pub(super) const ONE_SECRET: Rule = Rule {
    cel: "!(has(self.passwordSecretRef) && has(self.generatedSecretName))",
    message: "goes without passwordSecretRef: either you give the password or it is generated",
    field: "spec.generatedSecretName",
};

pub(super) const SECRET_NAME: Rule = Rule {
    cel: "!has(self.generatedSecretName) || self.generatedSecretName.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
    message: "a Secret's name has lower-case letters, digits, - and . only, a letter or digit at both ends",
    field: "spec.generatedSecretName",
};
