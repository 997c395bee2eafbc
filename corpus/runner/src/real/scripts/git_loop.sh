# A repository that is made, grows, is looked at, packed and thrown away.
set -e
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@localhost GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@localhost
while :; do
    git init --quiet --initial-branch=main "$1"
    for number in 1 2 3 4 5 6 7 8 9 10; do
        seq "$number" 2000 >"$1/file$((number % 3))"
        git -C "$1" add .
        git -C "$1" commit --quiet --message "change $number"
        git -C "$1" status --short
    done
    git -C "$1" log --stat >"$1/.git/log"
    git -C "$1" diff HEAD~5 >"$1/.git/diff"
    git -C "$1" gc --quiet
    git -C "$1" fsck --no-progress
    rm -r "$1"
done
