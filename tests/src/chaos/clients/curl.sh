# Calls endpoints with curl, one call after the other for each. Arguments and lines are those of client.py.
shift 3
period=$(awk "BEGIN { print $1 / 1000 }")
patience=$(awk "BEGIN { print $2 / 1000 }")
shift 2
life() {
    while :; do
        said=$(curl -sv -o /dev/null --max-time "$patience" \
            -w '\nTOLD %{http_code} %{exitcode} %{time_connect} %{time_total}' "http://$1/" 2>&1)
        case $said in
        *"No route to host"*) word=shed ;;
        *"Connection refused"*) word=refused ;;
        *"TOLD 5"*) word=failed ;;
        *"TOLD 2"??" 0 "*) word=ok ;;
        *" 28 "*) word=timeout ;;
        *) word=broken ;;
        esac
        echo "${said##*TOLD }" | awk -v t="$1" -v w="$word" '{ printf "%s %s %d %d\n", t, w, $3 * 1e6, $4 * 1e6 }'
        sleep "$period"
    done
}
for target; do
    life "$target" &
done
wait
