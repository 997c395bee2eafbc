# Builds the workspace with the manifest $1 into the folder $2 from nothing, again and again.
set -e
# Flags from the caller's environment would make other builds of them.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
while :; do
    cargo build --offline --quiet --manifest-path "$1" --target-dir "$2"
    rm -r "$2"
done
