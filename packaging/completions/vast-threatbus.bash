# Made from the table of options by `vast-threatbus --generate complete-bash`.
_vast_threatbus() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} words=
    # For bash the `=` of `--flag=value` is a separate word.
    if [[ $current == = ]]; then
        current=
    elif [[ $previous == = ]]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    case $previous in
        --engine) words=$(compgen -W 'auto vast tenzir files' -- "$current") ;;
        -v | --vast) ;;
        --engine-endpoint) ;;
        -b | --vast-binary) words=$(compgen -c -- "$current") ;;
        --engine-binary) words=$(compgen -c -- "$current") ;;
        --tenzir-binary) words=$(compgen -c -- "$current") ;;
        -t | --threatbus) ;;
        --protocol) words=$(compgen -W 'auto legacy stix2' -- "$current") ;;
        --connect-timeout) ;;
        -s | --snapshot) ;;
        --live-engine) words=$(compgen -W 'auto attach start continuous' -- "$current") ;;
        --matcher-name) ;;
        --retro-match-max-events) ;;
        --retro-match-timeout) ;;
        --observation-memory) ;;
        --match) words=$(compgen -W 'exact standard thorough' -- "$current") ;;
        --allow) words=$(compgen -f -- "$current") ;;
        --batch-size) ;;
        -U | --max-background-tasks) ;;
        -S | --sink) words=$(compgen -W 'STDOUT' -- "$current") ;;
        --sink-mode) words=$(compgen -W 'each lines' -- "$current") ;;
        --output) words=$(compgen -W 'context sighting' -- "$current") ;;
        -T | --transform-context) words=$(compgen -c -- "$current") ;;
        --transform-mode) words=$(compgen -W 'each lines' -- "$current") ;;
        --transform-processes) ;;
        --aggregate) ;;
        --max-sightings-per-minute) ;;
        --queue-max-bytes) ;;
        --state-dir) words=$(compgen -f -- "$current") ;;
        --spool-max-bytes) ;;
        --remember-days) ;;
        --indicators) words=$(compgen -f -- "$current") ;;
        --indicators-format) words=$(compgen -W 'auto list hosts csv zeek-intel stix misp otx threatfox urlhaus intel' -- "$current") ;;
        --indicators-column) ;;
        --events) words=$(compgen -f -- "$current") ;;
        --idle) ;;
        --deadline) ;;
        --summary-file) words=$(compgen -f -- "$current") ;;
        --explain) words=$(compgen -f -- "$current") ;;
        -l | --loglevel) words=$(compgen -W 'DEBUG INFO WARNING ERROR CRITICAL NOTSET' -- "$current") ;;
        --log-format) words=$(compgen -W 'text json' -- "$current") ;;
        --metrics-prometheus) words=$(compgen -f -- "$current") ;;
        --sensor-name) ;;
        -c | --config) words=$(compgen -f -- "$current") ;;
        --migrate) words=$(compgen -f -- "$current") ;;
        *) words=$(compgen -W '--engine -v --vast --engine-endpoint -b --vast-binary --engine-binary --tenzir-binary -t --threatbus --protocol --connect-timeout -s --snapshot --retro-match --no-retro-match --live-match --no-live-match --live-engine --matcher-name --retro-match-max-events --retro-match-timeout --observation-memory --match --match-answers --no-match-answers --domains-match-subdomains --no-domains-match-subdomains --urls-match-host --no-urls-match-host --allow --allow-defaults --no-allow-defaults --batch-size -U --max-background-tasks -S --sink --sink-mode --output -T --transform-context --transform-mode --transform-processes --unflatten --no-unflatten --aggregate --max-sightings-per-minute --confirm-delivery --no-confirm-delivery --queue-max-bytes --state-dir --spool-max-bytes --report-once --no-report-once --remember-days --indicators --indicators-format --indicators-column --events --follow --no-follow --once --no-once --idle --deadline --summary-file --exit-code --no-exit-code --explain --summary --no-summary -l --loglevel --log-format --metrics-prometheus --sensor-name -c --config --migrate --check --no-check -h --help -V --version' -- "$current") ;;
    esac
    COMPREPLY=()
    [[ -z $words ]] || mapfile -t COMPREPLY <<< "$words"
}
complete -o filenames -F _vast_threatbus vast-threatbus
