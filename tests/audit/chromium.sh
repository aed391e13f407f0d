#!/usr/bin/env bash
# Chromium and its driver, for the tests of the audit page; from Debian, so that they fit each other.
set -euo pipefail

fail() { echo "chromium: $*; the tests of the audit page are skipped" >&2; exit 1; }
command -v chromium >/dev/null && command -v chromedriver >/dev/null && exit 0
[ "$(id -u)" = 0 ] || fail "only root can install it"
command -v apt-get >/dev/null || fail "it is installed with apt-get, which this system lacks"
export DEBIAN_FRONTEND=noninteractive
apt=(apt-get -qq -y -o DPkg::Lock::Timeout=120)
install=(install --no-install-recommends chromium chromium-driver)
"${apt[@]}" "${install[@]}" >/dev/null 2>&1 ||
    { apt-get -qq update && "${apt[@]}" "${install[@]}"; } >/dev/null 2>&1 ||
    fail "cannot install chromium and chromium-driver"
