# Strings, arrays, functions and subshells, all forgotten again.
set -e

words() {
    local text=$1 word count=0
    for word in $text; do count=$((count + ${#word})); done
    printf '%s' "$count"
}

while :; do
    list=()
    declare -A table=()
    for number in {1..2000}; do
        list+=("item $number")
        table[key$((number % 100))]="${list[-1]^^}"
    done
    joined="${list[*]}"
    joined="${joined//item/thing}"
    total=$(words "$joined")
    [[ $joined =~ thing\ ([0-9]+)$ ]]
    sorted=$(printf '%s\n' "${!table[@]}" | sort | tail -n 1)
    [[ $total -gt 0 && -n $sorted ]]
done
