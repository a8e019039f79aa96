#!/usr/bin/env bash
# All tests, on the embedded backends and on MariaDB, Redis and SecantusDB, and those that need Node and a browser. Installs what is
# missing (Debian, with apt), starts the servers that it needs on free ports in a temporary folder, and stops them again.
#
#   ./test.sh                              all of it
#   ./test.sh embedded | engines | js      one part
#
# These use servers that are there already:
#   TEST_MYSQL_URL=mysql://USER:PASSWORD@HOST:PORT
#   TEST_REDIS_URL=redis://HOST:PORT
#   TEST_MONGODB_URL=mongodb://HOST:PORT
#   TEST_S3_ENDPOINT=http://HOST:PORT (with a bucket madang and the key test)
set -euo pipefail
cd "$(dirname "$0")"
parts=${*:-embedded engines js}

temp=$(mktemp -d)
started=()
# Ends what this script has started, and nothing else.
finish() {
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$temp"
}
trap finish EXIT

say() { printf '\n== %s\n' "$*"; }

# install PACKAGE: with apt.
install() {
  command -v apt-get >/dev/null || { echo "$1 is missing, and so is apt-get: install it by hand" >&2; exit 1; }
  local sudo=""
  [ "$(id -u)" = 0 ] || sudo=sudo
  say "installing $1"
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}

# need COMMAND PACKAGE: installs the package when the command is missing.
need() {
  command -v "$1" >/dev/null || install "$2"
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# until_ready SECONDS PID COMMAND…: waits until the command succeeds; fails when the process ends or time runs out.
until_ready() {
  local tries=$(($1 * 10)) pid=$2
  shift 2
  for _ in $(seq "$tries"); do
    "$@" >/dev/null 2>&1 && return
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  return 1
}

start_mariadb() {
  [ -n "${TEST_MYSQL_URL:-}" ] && return
  # Where Debian puts the server.
  PATH=$PATH:/usr/sbin
  need mariadbd mariadb-server
  need python3 python3
  local data=$temp/mariadb port user=()
  port=$(free_port)
  [ "$(id -u)" = 0 ] && user=(--user=root)
  say "starting MariaDB on port $port"
  mariadb-install-db --no-defaults "${user[@]}" --datadir="$data" --auth-root-authentication-method=normal \
    --skip-test-db >"$temp/mariadb-install.log" 2>&1 || { cat "$temp/mariadb-install.log" >&2; exit 1; }
  # Durability is not what these tests are about, and the folder is thrown away.
  mariadbd --no-defaults "${user[@]}" --datadir="$data" --socket="$temp/mariadb.sock" --port="$port" \
    --bind-address=127.0.0.1 --innodb-flush-log-at-trx-commit=0 --max-connections=1000 \
    >"$temp/mariadb.log" 2>&1 &
  started+=($!)
  until_ready 60 $! mariadb-admin --no-defaults --socket="$temp/mariadb.sock" --user=root ping ||
    { tail -n 30 "$temp/mariadb.log" >&2; exit 1; }
  mariadb --no-defaults --socket="$temp/mariadb.sock" --user=root -e \
    "CREATE USER tester@'127.0.0.1' IDENTIFIED BY 'tester'; GRANT ALL ON *.* TO tester@'127.0.0.1';"
  export TEST_MYSQL_URL=mysql://tester:tester@127.0.0.1:$port
}

start_redis() {
  # Some tests stop a Redis of their own.
  need redis-server redis-server
  [ -n "${TEST_REDIS_URL:-}" ] && return
  need python3 python3
  local port
  port=$(free_port)
  say "starting Redis on port $port"
  redis-server --port "$port" --bind 127.0.0.1 --save "" --appendonly no --dir "$temp" >"$temp/redis.log" 2>&1 &
  started+=($!)
  until_ready 30 $! redis-cli -p "$port" ping || { tail -n 30 "$temp/redis.log" >&2; exit 1; }
  export TEST_REDIS_URL=redis://127.0.0.1:$port
}

# From PyPI, in processes of their own, under their own licences: SecantusDB speaks MongoDB's protocol, moto S3's; gql is a
# client.
install_from_pypi() {
  local packages="SecantusDB==0.7.0b3 moto[s3,server]==5.2.5 gql[aiohttp,requests]==4.0.0" venv=$PWD/target/test-servers
  need python3 python3
  if [ "$(cat "$venv/packages" 2>/dev/null)" != "$packages" ]; then
    say "installing $packages"
    python3 -c 'import ensurepip' 2>/dev/null || install python3-venv
    python3 -m venv --clear "$venv"
    # shellcheck disable=SC2086
    "$venv/bin/pip" install --quiet $packages
    echo "$packages" >"$venv/packages"
  fi
  # Some tests stop servers of their own.
  export TEST_SECANTUSD=$venv/bin/secantusd-py TEST_MOTO=$venv/bin/moto_server TEST_PYTHON=$venv/bin/python
}

start_secantusdb() {
  [ -n "${TEST_MONGODB_URL:-}" ] && return
  local log=$temp/secantusdb.log
  say "starting SecantusDB"
  : >"$temp/secantusdb.toml"
  "$TEST_SECANTUSD" --config "$temp/secantusdb.toml" --host 127.0.0.1 --port 0 --storage-path "$temp/secantusdb" \
    --cache-size 256M --standalone >"$log" 2>&1 &
  started+=($!)
  until_ready 60 $! grep -q "listening on" "$log" || { tail -n 30 "$log" >&2; exit 1; }
  TEST_MONGODB_URL=mongodb://$(sed -n 's/.*listening on //p' "$log" | head -n 1)
  export TEST_MONGODB_URL
}

start_moto() {
  need curl curl
  [ -n "${TEST_S3_ENDPOINT:-}" ] && return
  local port
  port=$(free_port)
  say "starting moto, an S3-compatible store, on port $port"
  "$TEST_MOTO" -H 127.0.0.1 -p "$port" >"$temp/moto.log" 2>&1 &
  started+=($!)
  until_ready 60 $! curl -sf -X PUT "http://127.0.0.1:$port/madang" || { tail -n 30 "$temp/moto.log" >&2; exit 1; }
  export TEST_S3_ENDPOINT=http://127.0.0.1:$port
}

# no_secrets FOLDER: none of the lines of FOLDER/secrets stands in FOLDER/log, and there is something in both.
no_secrets() {
  local lines secrets
  lines=$(wc -l <"$1/log") secrets=$(sort -u "$1/secrets" | wc -l)
  say "$lines lines of log at its most talkative hold none of $secrets secrets"
  [ "$lines" -gt 200 ] && [ "$secrets" -gt 20 ] || { echo "that is too little to show anything" >&2; exit 1; }
  sort -u "$1/secrets" >"$1/sorted"
  if grep -F -m 5 -f "$1/sorted" "$1/log" >&2; then
    echo "secrets stand in the log" >&2
    exit 1
  fi
}

start_madang() {
  cargo build --quiet
  local volume=$temp/volume port
  port=$(free_port)
  mkdir "$temp/js"
  export MADANG_URL=http://127.0.0.1:$port MADANG_SDL=$PWD/schema.graphql MADANG_PROGRAM=$PWD/target/debug/madang
  export MADANG_ADMIN_NAME=admin MADANG_ADMIN_PASSWORD="correct horse battery"
  say "starting madang on port $port"
  target/debug/madang create-admin --volume-dir "$volume" --name "$MADANG_ADMIN_NAME" --email admin@example.org \
    --password-stdin <<<"$MADANG_ADMIN_PASSWORD" >/dev/null
  # Short times where a test waits for them to pass; no rates, since the tests sign in all the time.
  target/debug/madang serve --volume-dir "$volume" --bind "127.0.0.1:$port" --rate-limits off \
    --access-token-ttl 6s --limit-init-time 1s --log trace >"$temp/js/log" 2>&1 &
  export MADANG_PID=$!
  started+=("$MADANG_PID")
  until_ready 30 "$MADANG_PID" curl -sf "$MADANG_URL/readyz" || { tail -n 30 "$temp/js/log" >&2; exit 1; }
}

for part in $parts; do
  case $part in
    embedded)
      say "tests on the embedded backends"
      need curl curl
      mkdir "$temp/embedded"
      TEST_BACKENDS=embedded TEST_LOG_DIR=$temp/embedded cargo test --quiet
      no_secrets "$temp/embedded"
      ;;
    engines)
      start_mariadb
      start_redis
      install_from_pypi
      start_secantusdb
      start_moto
      # One test starts it before two servers.
      PATH=$PATH:/usr/sbin
      need nginx nginx-light
      # Some tests stop a server of their own, wherever TEST_MYSQL_URL leads.
      need mariadbd mariadb-server
      say "tests on MariaDB, Redis, SecantusDB and moto"
      mkdir "$temp/engines"
      TEST_BACKENDS=engines TEST_LOG_DIR=$temp/engines cargo test --quiet --test it
      no_secrets "$temp/engines"
      ;;
    js)
      need node nodejs
      need npm npm
      need curl curl
      need chromium chromium
      install_from_pypi
      start_madang
      say "tests with Node and Chromium"
      npm --prefix tests/js ci --silent --no-audit --no-fund
      MADANG_SECRETS=$temp/js/secrets npm --prefix tests/js test || { echo "the end of the server's log:" >&2; tail -n 40 "$temp/js/log" >&2; exit 1; }
      no_secrets "$temp/js"
      ;;
    *)
      echo "there is no part $part: embedded, engines or js" >&2
      exit 2
      ;;
  esac
done
say "all tests have passed: $parts"
