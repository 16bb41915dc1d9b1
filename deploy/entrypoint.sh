#!/bin/sh
# Entry point of the image: a place to write, the kernels the image was built with, then the engine.
#
#   (nothing), or options     aegis run, with those options
#   a command of aegis        aegis COMMAND ...
#   anything else             that program, for looking round
#
# Exit 3 when AEGIS_HOME cannot be written, otherwise what the program returns: it replaces this
# shell, so that signals and exit codes are its own.
set -eu

: "${AEGIS_HOME:=/var/lib/aegis}" "${PORT:=8080}" "${AEGIS_BAKED:=/opt/aegis/baked}"
export AEGIS_HOME PORT

case "${1:-}" in
'' | -*) set -- aegis run "$@" ;;
run | demo | exchange | chart | record | tape | features | strategies | download | status | top | \
    orders | positions | halt | pause | reduce | flatten | cancel-all | reconcile | resume | stop | \
    mode | approvals | onboard | offboard | lines | gaps | access | replay | why | ledger | shadow | \
    report | verify | readiness | audit | alert | order | cancel | execute | executions | routes | \
    completion | doctor | journal | config | version) set -- aegis "$@" ;;
esac

if ! mkdir -p "$AEGIS_HOME" 2>/dev/null || [ ! -w "$AEGIS_HOME" ]; then
    echo "aegis: AEGIS_HOME=$AEGIS_HOME cannot be written by user $(id -u); mount a volume that user" \
        "owns (image: 10001), or on Railway set RAILWAY_RUN_UID=0" >&2
    exit 3
fi

# A volume hides what the image holds under the same path, so the kernels are kept beside it.
for baked in "$AEGIS_BAKED"/cache/kernels-*; do
    kernels=$AEGIS_HOME/cache/$(basename "$baked")
    if [ -d "$baked" ] && [ ! -e "$kernels" ] && mkdir -p "$AEGIS_HOME/cache"; then
        # In one step, so that a start which is cut short leaves no half of a cache.
        cp -Rp "$baked" "$kernels.$$" && mv "$kernels.$$" "$kernels"
    fi
done

exec "$@"
