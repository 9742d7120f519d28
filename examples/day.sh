#!/usr/bin/env bash
# A day at a support desk, in one minute. A signed ticket arrives; the supervisor hands it to a specialist; a crew
# researches it on threads; a pipeline is started in the background; the server is killed and started again; a worker
# process does the job with the tenant's secret; and the answer arrives in the thread that asked. At the end one tree
# shows under which context each piece of it ran.
#
#     examples/day.sh              builds the release binary, needs python3, leaves nothing behind
#     KEEP=1 examples/day.sh       leaves its folder, to look at
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
if [ -z "${HAVERSACK:-}" ]; then
    (cd "$here/.." && cargo build --quiet --release)
    HAVERSACK=$(cd "$here/.." && cargo metadata --format-version 1 --no-deps |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/release/haversack
fi

work=$(mktemp -d)
server="" worker="" inbox=""
finish() {
    kill $server $worker $inbox 2>/dev/null || true
    wait 2>/dev/null || true
    if [ -n "${KEEP:-}" ]; then echo "kept: $work"; else rm -rf "$work"; fi
}
trap finish EXIT
say() { printf '\n== %s\n' "$*"; }

cp -r "$here/day/." "$work"
cd "$work"
export DAY_SIGNING_SECRET DAY_PLANT_TOKEN
DAY_SIGNING_SECRET=$(head -c 24 /dev/urandom | base64)
DAY_PLANT_TOKEN="plant-$(head -c 8 /dev/urandom | od -An -tx1 | tr -d ' \n')"
python3 day.py inbox answers.jsonl >inbox.port &
inbox=$!
until [ -s inbox.port ]; do sleep 0.1; done
sed -i "s#http://127.0.0.1:1\"#http://127.0.0.1:$(cat inbox.port)\"#" haversack.toml
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
url="http://127.0.0.1:$port"
export HAVERSACK_SERVER__BIND="127.0.0.1:$port"

up() { # starts the server, and waits until it takes work
    "$HAVERSACK" serve >serve.out 2>>serve.log &
    server=$!
    for _ in $(seq 100); do
        curl -fs "$url/readyz" >/dev/null && return
        sleep 0.1
    done
    cat serve.log
    exit 1
}

say "A server, without a worker"
up
key=$("$HAVERSACK" --json keys issue --tenant northwind --principal kim | python3 -c 'import json, sys; print(json.load(sys.stdin)["key"])')
export HAVERSACK_KEY=$key
echo "listens on $url"

say "A ticket arrives at the desk, signed, in the thread T-42"
ticket=$(python3 day.py send "$url/gateway/webhook/desk" "{
    \"chat\": {\"id\": \"floor\", \"name\": \"The floor\", \"type\": \"direct\"}, \"thread\": \"T-42\",
    \"sender\": {\"id\": \"u-17\", \"name\": \"Kim\"}, \"callback\": \"http://127.0.0.1:$(cat inbox.port)/answers\",
    \"text\": \"Please research why pump P-7 stops at night. Prepare the shift report.\"}")
echo "$ticket"
python3 day.py wait answers.jsonl 1

say "The server is killed, in the middle of its day, and started again"
{ kill -9 $server && wait $server; } 2>/dev/null || true
up
job=$("$HAVERSACK" --json jobs ls --server "$url" | python3 -c 'import json, sys; print(json.loads(sys.stdin.readline())["id"])')
echo "the job of the ticket waits: $job"

say "A worker process does it, in the context of the ticket, with the tenant's secret"
"$HAVERSACK" worker >worker.out 2>>worker.log &
worker=$!
python3 day.py wait answers.jsonl 2

say "Nothing of it lies in the clear where it does not belong"
if grep -rqa "$DAY_PLANT_TOKEN" data; then
    echo "the tenant's secret is in the data folder"
    exit 1
fi
echo "the tenant's secret is in no file of the data folder"

say "One tree of it all: haversack context show $job"
"$HAVERSACK" context show "$job" --server "$url"
