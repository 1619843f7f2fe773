#!/usr/bin/env bash
# Debian packages of another release, for scripts to source: apt with lists,
# cache and sources of its own, so that the machine's stay untouched.
#
#   private_apt_from FOLDER KIND SUITE   apt's state is to live in FOLDER, its
#                                        source is SUITE, as KIND (deb, deb-src)
#   private_apt COMMAND ARGUMENT...      runs apt-get, or another tool of apt's

# The address of the mirror that serves this machine's own release.
private_apt_mirror() {
    local release
    release=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
    apt-get indextargets --format '$(RELEASE) $(REPO_URI)' \
        'Identifier: Packages' | awk -v r="$release" '$1 == r {print $2; exit}'
}

private_apt_from() {
    local folder=$1 kind=$2 suite=$3 mirror
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    if ! command -v apt-get >/dev/null; then
        echo "no apt on this machine" >&2
        return 1
    fi
    mirror=$(private_apt_mirror)
    if [ -z "$mirror" ]; then
        echo "apt is set up with no mirror" >&2
        return 1
    fi
    mkdir -p "$folder"/{lists,cache/archives}/partial
    echo "$kind [signed-by=$keyring] $mirror $suite main" >"$folder/sources.list"
    PRIVATE_APT=$folder
}

private_apt() {
    "$1" -o "Dir::Etc::SourceList=$PRIVATE_APT/sources.list" \
        -o Dir::Etc::SourceParts=/dev/null \
        -o "Dir::State::Lists=$PRIVATE_APT/lists" \
        -o "Dir::Cache=$PRIVATE_APT/cache" \
        -o Acquire::Languages=none \
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
        -o APT::Sandbox::User="$(id -un)" -q "${@:2}"
}
