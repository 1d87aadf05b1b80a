#!/bin/sh
# Generates a video through veod, by its line protocol, a shell and socat alone: client.sh PROMPT
set -eu

say() {
    printf '%s\n' "$*"
}

# One command; socat stays until veod has answered.
veod() {
    say "$1" | socat -t 86400 - "UNIX-CONNECT:${VEOD_SOCKET:-/run/veod/veod.sock}"
}

# A member of the JSON on the standard input that is a string.
member() {
    sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"
}

prompt=$(say "$*" | tr '\r\n' '  ')
answer=$(veod "GENERATE $prompt")
id=$(say "$answer" | member id)
[ -n "$id" ] || { say "$answer" >&2 && exit 1; }

veod "WAIT {\"ids\":[\"$id\"],\"events\":true}" | while read -r word json; do
    if [ "$word" = EVENT ]; then
        say "$json" | member state >&2
    else
        path=$(say "$json" | member path)
        [ -n "$path" ] || { say "$word $json" >&2 && exit 1; }
        say "$path"
    fi
done
