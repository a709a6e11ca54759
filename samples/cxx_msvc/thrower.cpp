/*
 * cxx_thrower.dll: throws what another DLL catches, and catches what another DLL throws.
 *
 *   clang++ --target=x86_64-pc-windows-msvc -O1 -std=c++17 -fexceptions -fcxx-exceptions
 * -fno-threadsafe-statics -ffreestanding -c thrower.cpp lld-link /dll /nodefaultlib /entry:DllMain
 * /out:cxx_thrower.dll /implib:cxx_thrower.lib thrower.o vcruntime140.lib (_CxxThrowException@8
 * __CxxFrameHandler3)
 */
#define dllimport dllexport
#include "cxx.h"
#undef dllimport
#include "runtime.h"

void throw_int(int value)
{
    throw value;
}

void throw_derived(int value)
{
    throw Derived(value);
}

void throw_loud(Log *log, int id)
{
    Loud local(log, id + 1);
    throw Loud(log, id);
}

void throw_virtual(int value)
{
    throw VirtualBoth(value);
}

int call_and_catch(void (*function)(int), int value)
{
    try {
        function(value);
    } catch (const Base &b) {
        return b.value();
    } catch (...) {
        return -1;
    }
    return 0;
}
