# bash completion of peldr: subcommands, options, image files.
_peldr() {
    local cur=${COMP_WORDS[COMP_CWORD]} sub=${COMP_WORDS[1]}
    local options="--json --directory --windows=xp --windows=7 --windows=10 --cache= --help"
    local before="${COMP_WORDS[COMP_CWORD-2]}${COMP_WORDS[COMP_CWORD-1]}$cur" # bash splits at =
    case $sub in
    call) options+=" --guard" ;;
    map) options+=" --base --occupy --run-init" ;;
    relocs) options+=" --base --code" ;;
    disasm) options+=" --export --rva --count" ;;
    sections) options+=" --all" ;;
    cache) options+=" --limit=" ;;
    verify) options+=" --recursive --as=" ;;
    esac
    if [ "$COMP_CWORD" = 1 ]; then
        COMPREPLY=($(compgen -W "run call map inspect imports exports relocs deps disasm walk sections cache test verify --help --version" -- "$cur"))
    elif [[ $before == *--windows=* ]]; then
        COMPREPLY=($(compgen -W "xp 7 10" -- "${cur#=}"))
    elif [[ $before == *--cache=* ]]; then
        COMPREPLY=($(compgen -d -W off -- "${cur#=}"))
    elif [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$cur"))
    elif [ "$sub" = walk ]; then
        COMPREPLY=($(compgen -W "$(pgrep -u "$(id -u)" peldr)" -- "$cur"))
    elif [ "$sub" = cache ]; then
        COMPREPLY=($(compgen -W "list prune clear" -- "$cur"))
    elif [ "$sub" = sections ]; then
        COMPREPLY=()
    elif [ "$sub" = verify ]; then
        COMPREPLY=($(compgen -f -- "$cur"))
    else
        COMPREPLY=($(compgen -f -X '!*.@(dll|exe|DLL|EXE)' -- "$cur") $(compgen -d -- "$cur"))
    fi
}
complete -o filenames -F _peldr peldr
