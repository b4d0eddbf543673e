#!/bin/sh
# Makes tokens.txt with openssl alone: what the replayer mints under the keys here must be the same. The keys are for tests only.
set -eu
cd "$(dirname "$0")"
base64url() { base64 -w0 | tr '+/' '-_' | tr -d '='; }
payload=$(printf '{"iss":"shadow","sub":"msk_alice","iat":1700000000,"exp":1700000300}' | base64url)
head() { printf '{"alg":"%s","typ":"JWT"}' "$1" | base64url; }
message=$(mktemp)
trap 'rm -f "$message"' EXIT
{
    printf '%s.%s' "$(head HS256)" "$payload" >"$message"
    printf '%s.%s\n' "$(cat "$message")" "$(openssl dgst -sha256 -binary -hmac "$(cat hs256.key)" "$message" | base64url)"
    printf '%s.%s' "$(head RS256)" "$payload" >"$message"
    printf '%s.%s\n' "$(cat "$message")" "$(openssl dgst -sha256 -sign rs256.pem "$message" | base64url)"
    printf '%s.%s' "$(head EdDSA)" "$payload" >"$message"
    printf '%s.%s\n' "$(cat "$message")" "$(openssl pkeyutl -sign -inkey eddsa.pem -rawin -in "$message" | base64url)"
} >tokens.txt
