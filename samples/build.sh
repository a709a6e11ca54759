#!/bin/sh
# Builds every sample of one toolchain and word size into a directory.
#
#   samples/build.sh clang|mingw 64|32 SOURCE_DIR OUT_DIR
#
# clang means clang -target *-windows-msvc with lld-link and no C runtime; mingw means mingw-w64's GCC.
# Each line below "samples" is one image: its options are what the image is there to show.
set -eu
toolchain=$1 word=$2 src=$3 out=$4

case $word in
64) triple=x86_64 machine=x64 dlltool=i386:x86-64 ;;
32) triple=i686 machine=x86 dlltool=i386 ;;
*) echo "build.sh: word size $word?" >&2; exit 2 ;;
esac
gcc=$triple-w64-mingw32-gcc
# Below 2 GiB in both word sizes: AddressSanitizer's shadow leaves these addresses free.
fixed_base=0x61000000 other_base=0x62000000
mkdir -p "$out"
src=$(cd "$src" && pwd) out=$(cd "$out" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The tools with Microsoft's syntax take an absolute path for an option: llvm-rc reads /check/... as /C.
# So every file they are given is named relative to the scratch directory.
ln -s "$src" "$scratch/src"
cd "$scratch"
src=src work=.

# An import library from a .def file; each linker wants its own toolchain's.
implib() { # DEF LIB
    if [ "$toolchain" = clang ]; then
        llvm-dlltool -m $dlltool -k -d "$1" -l "$2"
    else
        $triple-w64-mingw32-dlltool -k -d "$1" -l "$2"
    fi
}

# The same from a list of functions; stdcall ones carry @bytes, which i386 names need.
importlib() { # NAME.dll FUNCTION...
    dll=$1
    shift
    { echo "LIBRARY $dll"; echo EXPORTS
      for f; do [ "$word" = 32 ] && echo "  $f" || echo "  ${f%@*}"; done; } >"$work/$dll.def"
    implib "$work/$dll.def" "$work/$dll.lib"
}

compile() { # OBJECT SOURCE [CFLAGS...]
    object=$1 source=$2
    shift 2
    if [ "$toolchain" = clang ]; then
        # -ffreestanding alone would take the function tables away, which x86-64 demands.
        clang --target=$triple-pc-windows-msvc -c -O1 -ffreestanding -fasynchronous-unwind-tables \
            -fno-builtin -Wall -Wextra -Wno-unused-parameter -I"$src" "$@" -o "$object" "$source"
    else
        $gcc -c -O1 -Wall -Wextra -Wno-unused-parameter -I"$src" "$@" -o "$object" "$source"
    fi
}

dll() { # NAME SOURCE CFLAGS MSVC_LINK_OPTIONS GNU_LINK_OPTIONS
    name=$1 source=$2 cflags=$3 msvc=$4 gnu=$5 object=$work/$1.o
    compile "$object" "$src/$source" $cflags
    if [ "$toolchain" = clang ]; then
        safeseh=
        [ "$word" = 32 ] && safeseh=/safeseh:no
        lld-link /nologo /dll /machine:$machine /nodefaultlib /entry:DllMain $safeseh \
            /out:"$out/$name.dll" /implib:"$work/$name.dll.lib" $object $msvc
    else
        $gcc -s -shared -static-libgcc -o "$out/$name.dll" $object -Wl,--out-implib,"$work/$name.dll.lib" $gnu
    fi
}

# A program that starts at start(), without start-up code of any runtime.
exe() { # NAME SOURCE CFLAGS MSVC_LINK_OPTIONS GNU_LINK_OPTIONS
    name=$1 source=$2 cflags=$3 msvc=$4 gnu=$5 object=$work/$1.o
    compile "$object" "$src/$source" $cflags
    if [ "$toolchain" = clang ]; then
        case "$word $msvc" in 32*safeseh*) safeseh= ;; 32*) safeseh=/safeseh:no ;; *) safeseh= ;; esac
        lld-link /nologo /machine:$machine /nodefaultlib /subsystem:console /entry:start $safeseh \
            /out:"$out/$name.exe" $object $kernel32 $msvcrt $msvc
    else
        entry=start
        [ "$word" = 32 ] && entry=_start
        $gcc -s -nostdlib -Wl,--entry,$entry -o "$out/$name.exe" $object $gnu -lkernel32 -lmsvcrt -lgcc
    fi
}

# C++ as Visual C++'s compilers make it, with the runtime of vcruntime140.dll.
cxx_dll() { # NAME SOURCE LIBS
    name=$1 source=$2 libs=$3
    clang++ --target=$triple-pc-windows-msvc -O1 -std=c++17 -fexceptions -fcxx-exceptions \
        -fno-threadsafe-statics -ffreestanding -fasynchronous-unwind-tables \
        -Wall -Wextra -Wno-unused-parameter -I"$src" -c -o "$work/$name.o" "$src/$source"
    lld-link /nologo /dll /machine:$machine /nodefaultlib /entry:DllMain \
        $([ "$word" = 32 ] && echo /safeseh:no) /out:"$out/$name.dll" \
        /implib:"$work/$name.dll.lib" "$work/$name.o" $vcruntime $kernel32 $libs
}

# GNU ld has no /FIXED for a DLL: set RELOCS_STRIPPED and clear the base-relocation directory after
# linking. The .reloc section stays: a gap between PE sections would be no valid image.
put() { # FILE OFFSET OCTAL_BYTES
    printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
fix_base() { # NAME
    [ "$toolchain" = mingw ] || return 0
    image=$out/$1.dll
    nt=$(($(od -An -tu4 -j60 -N4 "$image")))
    flags=$(($(od -An -tu1 -j$((nt + 22)) -N1 "$image") | 1)) # Characteristics
    directories=$((nt + 24 + (word == 64 ? 112 : 96)))
    put "$image" $((nt + 22)) "\\$(printf %o $flags)"
    put "$image" $((directories + 5 * 8)) '\0\0\0\0\0\0\0\0'
}

lib() { echo "$work/$1.dll.lib"; }

# ---- samples ----------------------------------------------------------------------------------
importlib kernel32.dll LoadLibraryA@4 GetModuleHandleA@4 GetProcAddress@8 GetStdHandle@4 \
    WriteFile@20 GetCommandLineA@0 ExitProcess@4 VirtualAlloc@16 VirtualFree@12 VirtualProtect@16 \
    RaiseException@16 AddVectoredExceptionHandler@8 RemoveVectoredExceptionHandler@4 \
    SetUnhandledExceptionFilter@4 FreeLibrary@4 GetLastError@0 CreateThread@24 \
    WaitForSingleObject@8 GetExitCodeThread@8 CloseHandle@4 EnumResourceNamesW@16 \
    InitOnceExecuteOnce@16 FlsAlloc@4 FlsSetValue@8 FlsGetValue@4 FlsFree@4 GetCurrentThreadId@0 \
    ExitThread@4 Sleep@4 DisableThreadLibraryCalls@4 TlsAlloc@0 TlsSetValue@8 TlsGetValue@4 \
    UnhandledExceptionFilter@4 GetProcessHeap@0 HeapAlloc@12 HeapFree@12
if [ "$word" = 64 ]; then
    importlib msvcrt.dll __C_specific_handler qsort _setjmp longjmp _resetstkoflw realloc
else
    importlib msvcrt.dll _except_handler3 qsort _setjmp3 longjmp _resetstkoflw realloc
fi
importlib api-ms-win-crt-string-l1-1-0.dll strlen strrchr
importlib vcruntime140.dll _CxxThrowException@8 __CxxFrameHandler3 __std_terminate \
    __uncaught_exceptions
kernel32=$work/kernel32.dll.lib
vcruntime=$work/vcruntime140.dll.lib
msvcrt=$work/msvcrt.dll.lib

dll basic basic/basic.c '' /export:subtract_stdcall -Wl,--kill-at
dll shared shared/shared.c '' '' ''

# The same /BASE twice, with and without fixups, and one that nobody else wants.
dll left samebase/side.c -DSIDE_VALUE=1 "/base:$fixed_base /dynamicbase:no" \
    "-Wl,--image-base,$fixed_base -Wl,--disable-dynamicbase"
dll right samebase/side.c -DSIDE_VALUE=2 "/base:$fixed_base /dynamicbase:no" \
    "-Wl,--image-base,$fixed_base -Wl,--disable-dynamicbase"
dll fixed_left samebase/side.c -DSIDE_VALUE=3 "/base:$fixed_base /fixed" \
    "-Wl,--image-base,$fixed_base -Wl,--disable-dynamicbase"
dll fixed_right samebase/side.c -DSIDE_VALUE=4 "/base:$fixed_base /fixed" \
    "-Wl,--image-base,$fixed_base -Wl,--disable-dynamicbase"
fix_base fixed_left
fix_base fixed_right
dll elsewhere samebase/side.c -DSIDE_VALUE=5 "/base:$other_base" "-Wl,--image-base,$other_base"

dll low chain/low.c '' '' ''
dll mid chain/mid.c '' "$(lib low)" "$(lib low)"
dll top chain/top.c '' "$(lib mid) $(lib low)" "$(lib mid) $(lib low)"

# Two DLLs that need each other's import library: made from .def files first.
implib "$src/cycle/egg.def" "$work/egg.dll.lib"
implib "$src/cycle/hen.def" "$work/hen0.lib"
dll egg cycle/egg.c '' "$work/hen0.lib" "$work/hen0.lib"
dll hen cycle/hen.c '' "$(lib egg)" "$(lib egg)"

dll ordinal ordinal/ordinal.c '' "/def:$src/ordinal/ordinal.def" "$src/ordinal/ordinal.def"
dll byordinal ordinal/byordinal.c '' "$(lib ordinal)" "$(lib ordinal)"
# Options, not the .def files, for lld-link: it decorates the targets that a .def file names on i386.
dll forward forward/forward.c '' "/export:own /export:low_value=low.low_value
    /export:twice=forward2.low_again /export:by_ordinal=ordinal.#7
    /export:GetTickCount=KERNEL32.GetTickCount /export:nowhere=low.no_such_function" \
    "$src/forward/forward.def"
dll forward2 forward/forward.c '' "/export:low_again=low.low_value
    /export:round=forward2.round_again /export:round_again=forward2.round" \
    "$src/forward/forward2.def"

dll tls tls/tls.c '' '' ''
exe callback callback/callback.c '' '' ''
exe unhandled unhandled/unhandled.c '' '' ''
exe thread thread/thread.c '' '' ''
dll stress_image stress/stress_image.c '' "$kernel32 $msvcrt" '-nostdlib -Wl,--entry,0 -lkernel32 -lmsvcrt -lgcc'
# Without start-up code, which would never give back what it allocated.
dll badinit unhandled/badinit.c '' "$kernel32" "-nostdlib -lkernel32 -Wl,--entry,$(
    [ "$word" = 32 ] && echo _DllMain@12 || echo DllMain)"
dll badtls unhandled/badinit.c -DBAD_TLS "$kernel32" ''
dll loud thread/order.c -DNAME="\"loud\"" "$kernel32" ''
dll quiet thread/order.c "-DQUIET -DNAME=\"quiet\"" "$kernel32" ''
exe fault fault/fault.c '-msse2' '/nxcompat' '-Wl,--nxcompat'

dll refuse refuse/refuse.c '' '' ''
dll crash crash/crash.c '' "$kernel32" ''
dll notes fuzzing/notes.c '' "$kernel32 $msvcrt" ''

importlib absent.dll absent_function@0
exe needy process/needy.c '' "$(lib absent)" "$(lib absent)"

implib "$src/host_import/host.def" "$work/host.lib"
dll plugin host_import/plugin.c '' "$work/host.lib" "$work/host.lib"

if [ "$toolchain" = clang ]; then
    exe seh seh/seh.c '' '' ''
    cxx_dll cxx_thrower cxx_msvc/thrower.cpp ''
    # x86-64 has packed exception tables, too, which no compiler here makes.
    packed=
    if [ "$word" = 64 ]; then
        importlib vcruntime140_1.dll __CxxFrameHandler4
        compile "$work/packed.o" "$src/cxx_msvc/packed.S"
        packed="$work/packed.o $(lib vcruntime140_1)"
    fi
    cxx_dll cxx_msvc cxx_msvc/cxx.cpp "$(lib cxx_thrower) $packed"
    cxx_dll throw_many throw/throw_many.cpp ''
    dll delay delay/delay.c '' "/delayload:low.dll $(lib low) $kernel32" ''
    llvm-rc /FO "$work/resource.res" "$src/resource/resource.rc"
    lld-link /nologo /dll /noentry /machine:$machine /out:"$out/resource.dll" "$work/resource.res"
    compile "$work/hello.o" "$src/hello/hello_win32.c"
    lld-link /nologo /machine:$machine /nodefaultlib /subsystem:console /entry:start \
        $([ "$word" = 32 ] && echo /safeseh:no) /out:"$out/hello.exe" "$work/hello.o" $kernel32 \
        "$(lib api-ms-win-crt-string-l1-1-0)"
else
    # The catcher, the DLL that throws and the shared C++ runtime, which they must share.
    cxx=$triple-w64-mingw32-g++
    $cxx -s -O1 -Wall -Wextra -DTHROW_DLL -shared -shared-libgcc -o "$out/sample_throw.dll" \
        "$src/throw/sample_throw.cpp" -Wl,--out-implib,"$work/sample_throw.lib"
    $cxx -s -O1 -Wall -Wextra -shared-libgcc -o "$out/throw.exe" "$src/throw/throw.cpp" \
        "$work/sample_throw.lib"
    for runtime in libstdc++-6 libgcc_s_seh-1 libgcc_s_dw2-1; do
        found=$($cxx -print-file-name=$runtime.dll)
        [ -e "$found" ] && $triple-w64-mingw32-strip -o "$out/$runtime.dll" "$found"
    done
    $cxx -s -O1 -Wall -Wextra -Wno-unused-parameter -I"$src" -shared -shared-libgcc \
        -o "$out/throw_many.dll" "$src/throw/throw_many.cpp"
    $triple-w64-mingw32-windres "$src/resource/resource.rc" "$work/resource.o"
    $gcc -s -shared -nostdlib -Wl,--entry,0 -o "$out/resource.dll" "$work/resource.o"
    $gcc -s -O1 -Wall -Wextra -o "$out/hello.exe" "$src/hello/hello_crt.c"
    # Where nothing else lies, under AddressSanitizer neither: two instances have the same base.
    $gcc -s -O1 -Wall -Wextra -Wl,--image-base,0x63000000 -Wl,--disable-dynamicbase \
        -o "$out/linger.exe" "$src/linger/linger.c"

    # Programs against <windows.h>, with the C runtime; console.h says what they share.
    program() { # NAME SOURCE LIBS
        $gcc -s -O1 -Wall -Wextra -Wno-unused-parameter -Wno-attributes -I"$src" \
            -o "$out/$1.exe" "$src/$2" $3
    }
    for name in reverse mmfshare sparse instances staticdata linkedlist savechanges handles mapwalk process; do
        program $name $name/$name.c ''
    done
    $triple-w64-mingw32-windres -I "$src/attachdll" "$src/attachdll/attachdll.rc" "$work/attachdll.res.o"
    $gcc -s -O1 -Wall -Wextra -Wno-unused-parameter -I"$src" -shared -static-libgcc \
        -o "$out/attachdll.dll" "$src/attachdll/attachdll.c" "$work/attachdll.res.o" \
        -Wl,--out-implib,"$work/attachdll.dll.lib" -luser32
    program attach attachdll/attach.c "$(lib attachdll)"
fi

# What the cases of each program print on Windows: tests/unit/test_sample_exceptions.c.
for expect in "$src"/*/*.expect.txt; do
    [ -e "$out/$(basename "${expect%.expect.txt}").exe" ] && cp "$expect" "$out"
done

# What programs print on Windows that need no arguments: tests/unit/test_sample_mapping.c.
for output in "$src"/*/*.output.txt; do
    [ -e "$out/$(basename "${output%.output.txt}").exe" ] && cp "$output" "$out"
done

# The golden outcomes of `peldr test` go beside their images: for all sets, or one toolchain's.
for golden in "$src"/*/*.expect.json "$src"/*/*.expect.$toolchain.json; do
    [ -e "$golden" ] && cp "$golden" "$out/$(basename "${golden%.expect.*}").expect.json"
done
