#!/usr/bin/env bash
# Looks at a change of policies as a reviewer would: `tollgate check`, `tollgate test`, and `tollgate diff` against what
# was in force before. Writes what it found as Markdown. For any CI; action.yml calls it on GitHub.
#
# Usage: review.sh [-b BASE] [-r REPORT] [-w] [FOLDER]
#   FOLDER     the policy folder, below the current directory (policies)
#   -b BASE    a git commit to compare with; fetched from `origin` if it is not there
#   -r REPORT  where to write the report (standard output)
#   -w         more access than before fails, too
# TOLLGATE names the program.
#
# Exits with 0 if all is well, 1 if something is wrong with the policies, 2 if it could not be said.
set -euo pipefail

tollgate=${TOLLGATE:-tollgate}
base='' report=/dev/stdout widening=shown
while getopts b:r:w option; do
    case $option in
        b) base=$OPTARG ;;
        r) report=$OPTARG ;;
        w) widening=fails ;;
        *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
folder=${1:-policies} folder=${folder#./} folder=${folder%/}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
verdict=0

# A step by its name, its exit code, and what 0 and 1 mean. Unless all is well, what was said goes into the report.
judged() {
    local name=$1 code=$2
    case $code in
        0) told "**$name**: $3" ;;
        1) told "**$name fails**: $4" ;;
        *) told "**$name fails**: it could not be said" ;;
    esac
    ((code == 0)) || cat "$work/said" >>"$work/details"
    ((code <= verdict)) || verdict=$((code > 2 ? 2 : code))
}

told() {
    echo "- $1" >>"$work/verdicts"
}

# Runs a step of the program, and sets `code`.
run() {
    code=0
    "$tollgate" "$@" >"$work/said" 2>&1 || code=$?
}

check() {
    run check "$folder" --format human --deny warnings
    if [[ ${GITHUB_ACTIONS-} == true ]]; then
        # The same again as notes at the lines of the pull request.
        "$tollgate" check "$folder" --format github --deny warnings >&2 || true
    else
        cat "$work/said" >&2
    fi
    checked=$code
    judged check "$code" "there are no problems" "there are problems"
}

cases() {
    if ! compgen -G "$folder/*.test.y*ml" >"$work/said"; then
        told "**test**: there are no test cases"
        return
    fi
    run test "$folder" --format human
    cat "$work/said" >&2
    judged test "$code" "every case is decided as it should be" "a case is not decided as it should be"
}

# Brings the base here. A shallow clone has only the newest commit.
fetched() {
    git rev-parse --quiet --verify --end-of-options "$base^{commit}" && return
    git fetch --quiet --depth=1 -- origin "$base" >&2 && git rev-parse --verify FETCH_HEAD
}

compare() {
    local commit
    if ! commit=$(fetched); then
        echo "the commit $base cannot be had" | tee "$work/said" >&2
        judged diff 2
        return
    fi
    code=0
    "$tollgate" diff "$commit" "$folder" --format markdown >"$work/diff" 2>"$work/said" || code=$?
    cat "$work/said" >&2
    case $code-$widening in
        3-shown) told "**diff**: somebody may do more than before" ;;
        3-fails) judged diff 1 '' "somebody may do more than before" ;;
        # Policies with errors cannot be compared, and that they have some was told.
        2-*) if ((checked == 1)); then told "**diff**: it can be told once there are no problems"; else judged diff 2; fi ;;
        1-*) judged diff 2 ;;
        *) judged diff "$code" "nobody may do more than before" ;;
    esac
}

check
cases
[[ -z $base ]] || compare
{
    printf '## Policies in %s\n\n' "$folder"
    cat "$work/verdicts"
    if [[ -s $work/details ]]; then
        # Indented, so that nothing in it can end the block.
        printf '\n<details open><summary>What was said</summary>\n\n'
        sed 's/^/    /' "$work/details"
        printf '\n</details>\n'
    fi
    if [[ -s $work/diff ]]; then
        echo
        cat "$work/diff"
    fi
} >"$work/report"
cat "$work/report" >"$report"
exit "$verdict"
