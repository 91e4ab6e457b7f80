package ui

// zshScript may be sourced, or stand in a directory of fpath.
const zshScript = `#compdef <<.Name>>
# Completes the flags and arguments of <<.Name>> in zsh. For this shell, once compinit has run:
#   source <(<<.Name>> -completion zsh)

# <<.Function>>_value completes the value of a flag.
<<.Function>>_value() {
	local expl
	case $1 in
<<- range .Flags>><<if .Values>>
	<<.Name>>) _wanted values expl <<quote .Name>> compadd --<<range .Values>> <<quote .>><<end>> ;;
<<- else if eq .Word "FILE">>
	<<.Name>>) _files ;;
<<- else if eq .Word "DIRECTORY">>
	<<.Name>>) _files -/ ;;
<<- else if eq .Word "INTERFACE">>
	<<.Name>>) _net_interfaces ;;
<<- else if eq .Word "HOST">>
	<<.Name>>) _hosts ;;
<<- end>><<end>>
	esac
}

# <<.Function>>_flags completes a flag, with one dash or two.
<<.Function>>_flags() {
	local -a flags
	flags=(
<<- range .Flags>>
		<<.Name>>:<<quote .ZshDescription>>
<<- end>>
	)
	flags=("$1${^flags[@]}")
	_describe -o flag flags
}
<<if .HostsFlag>>
# <<.Function>>_hosts completes a host, by its own name or by that of a section of the configuration file.
<<.Function>>_hosts() {
	local -a named
	named=(${(f)"$(command <<.Name>> -<<.HostsFlag>> 2>/dev/null)"})
	_alternative 'named:named host:compadd -a named' 'hosts:host:_hosts'
}
<<end>>
<<.Function>>() {
	local flag behind
	integer i arguments=0
	for ((i = 2; i < CURRENT; i++)); do
		if [[ -n $flag ]]; then
			flag= # this is its value
			continue
		fi
		case $behind$words[i] in
		--) behind=yes ;;
		-*=*) ;;
		-?*)
			flag=${${words[i]#-}#-}
			case $flag in
			<<join .NoValue " | ">>) flag= ;;
			esac
			;;
		*) arguments+=1 ;;
		esac
	done

	if [[ -n $flag ]]; then
		<<.Function>>_value $flag
	elif [[ -z $behind && $PREFIX == -*=* ]]; then
		flag=${${${PREFIX%%=*}#-}#-}
		compset -P 1 '*='
		<<.Function>>_value $flag
	elif [[ -z $behind && $PREFIX == --* ]]; then
		<<.Function>>_flags --
	elif [[ -z $behind && $PREFIX == -* ]]; then
		<<.Function>>_flags -
<<- if .HostsFlag>>
	elif ((arguments == 0)); then
		<<.Function>>_hosts
<<- end>>
	fi
}

if [[ $funcstack[1] == <<.Function>> ]]; then
	<<.Function>> "$@" # from fpath: this file is the function, and is called for the first time
else
	compdef <<.Function>> <<.Name>>
fi
`
