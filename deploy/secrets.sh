#!/bin/sh
# Makes the secrets that docker-compose.yml mounts, in deploy/secrets or in the directory given. Those that exist stay.
# UPSTREAM_API_KEY: the company's key at the upstream; without it any word, which only the simulator takes.
set -eu

directory=${1:-$(dirname "$0")/secrets}
mkdir -p "$directory"
chmod 700 "$directory" # the files can be read by the users of all containers, the directory only by you
cd "$directory"

random() {
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}

keep() { # keep NAME VALUE: a file of one line, unless it is there
    [ -s "$1" ] || printf '%s\n' "$2" > "$1"
    chmod 444 "$1"
}

keep database_password "$(random)"
keep database_url "postgresql://waystation:$(cat database_password)@postgres:5432/waystation"
keep redis_password "$(random)"
keep redis_url "redis://:$(cat redis_password)@valkey:6379/0"
keep valkey_conf "requirepass $(cat redis_password)"
keep secret_key "$(random)"
keep admin_key "$(random)"
keep upstream_api_key "${UPSTREAM_API_KEY:-simulator}"
keep grafana_password "$(random)"
echo "the secrets are in $(pwd)"
