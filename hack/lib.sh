# Shared by the scripts of this folder; sourced, never run.
# shellcheck shell=bash

# Where everything that is slow to fetch or to build is kept, outside the checkout.
ISTHMUS_CACHE=${ISTHMUS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/isthmus}
# shellcheck disable=SC2034 # for those that source this
REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Standard output belongs to answers (paths, records); progress goes to standard error.
say() { printf '== %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

has() { command -v "$1" >/dev/null 2>&1; }

# fingerprint FILE…: a short name for this exact content.
fingerprint() { cat -- "$@" | sha256sum | cut -c1-12; }

# cached NAME COMMAND…: the folder NAME of the cache, filled by COMMAND in it the first time.
# COMMAND works in a temporary folder beside it that is renamed when all went well, so a folder
# that is there is whole; two runs at once do not meet. Prints the folder.
cached() {
    local name=$1 target="$ISTHMUS_CACHE/$1" work
    shift
    if [ ! -d "$target" ]; then
        mkdir -p "$ISTHMUS_CACHE"
        exec 9>"$ISTHMUS_CACHE/.$name.lock"
        flock 9
        if [ ! -d "$target" ]; then
            work=$(mktemp -d "$ISTHMUS_CACHE/.$name.XXXXXX")
            if ! (cd "$work" && "$@") >&2 9>&-; then
                rm -rf "$work"
                die "could not make $target (see above)"
            fi
            chmod 755 "$work"
            mv -T "$work" "$target"
        fi
        exec 9>&-
    fi
    printf '%s\n' "$target"
}
