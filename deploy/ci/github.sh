#!/usr/bin/env bash
# The review on GitHub: in the job's summary, and in one comment of the pull request. action.yml calls it.
#
# Takes FOLDER, BASE and WIDENING (`true` if more access than before fails), PULL_REQUEST (its number, if there is one),
# GH_TOKEN for `gh`, and what GitHub sets. Exits like review.sh.
set -euo pipefail

report=$(mktemp) body=$(mktemp)
trap 'rm -f "$report" "$body"' EXIT
# A comment is found by its first line, which nobody sees. Plain characters only, so that it ends where it should.
mark="<!-- tollgate review: $(printf %s "$FOLDER" | tr -c 'A-Za-z0-9._/' _) -->"

# Puts the report into the comment of the last time, or else a new one.
comment() {
    local issues=repos/$GITHUB_REPOSITORY/issues known
    {
        echo "$mark"
        # GitHub takes 65536 characters. A character is not cut in two.
        head -c 60000 "$report" | iconv -c -f utf-8 -t utf-8
        (($(wc -c <"$report") <= 60000)) || printf '\n\nIt is cut here; the whole stands in the summary of the job.\n'
    } >"$body"
    known=$(gh api --paginate "$issues/$PULL_REQUEST/comments" --jq \
        ".[] | select(.user.login == \"github-actions[bot]\" and (.body | startswith(\"$mark\"))) | .id") || return
    known=${known%%$'\n'*}
    if [[ -n $known ]]; then
        gh api --silent --method PATCH "$issues/comments/$known" --field "body=@$body"
    else
        gh api --silent --method POST "$issues/$PULL_REQUEST/comments" --field "body=@$body"
    fi
}

arguments=(-r "$report")
[[ -z ${BASE-} ]] || arguments+=(-b "$BASE")
[[ ${WIDENING-} != true ]] || arguments+=(-w)
verdict=0
"$(dirname "$0")/review.sh" "${arguments[@]}" -- "$FOLDER" || verdict=$?
cat "$report" >>"$GITHUB_STEP_SUMMARY"
if [[ -n ${PULL_REQUEST-} ]] && ! comment; then
    # The token of a pull request from a fork may only read.
    echo "::notice title=No comment::it could not be written; the report stands in the summary of the job"
fi
exit "$verdict"
