/*
 * A PE section named Shared that every process with this image sees, made in the two ways that
 * Microsoft's compilers document; the private counter beside it is each process's own.
 */
#include "sample.h"

SAMPLE_NO_CRT

#ifdef _MSC_VER
#pragma data_seg("Shared")
volatile long shared_instances = 0;
#pragma data_seg()
#pragma comment(linker, "/SECTION:Shared,RWS")
#pragma section("Shared", read, write)
__declspec(allocate("Shared")) volatile char shared_text[64] = "initial";
#else
volatile long shared_instances __attribute__((section("Shared"), shared)) = 0;
volatile char shared_text[64] __attribute__((section("Shared"), shared)) = "initial";
#endif

volatile long private_instances = 0;

BOOL WINAPI DllMain(HMODULE module, DWORD reason, void *reserved)
{
    if (reason == DLL_PROCESS_ATTACH) {
        __atomic_add_fetch(&shared_instances, 1, __ATOMIC_SEQ_CST);
        private_instances++;
    } else if (reason == DLL_PROCESS_DETACH) {
        __atomic_sub_fetch(&shared_instances, 1, __ATOMIC_SEQ_CST);
    }
    return 1;
}

EXPORT int shared_get(void)
{
    return (int)shared_instances;
}

EXPORT int private_get(void)
{
    return (int)private_instances;
}

EXPORT int shared_add(int n)
{
    return (int)__atomic_add_fetch(&shared_instances, n, __ATOMIC_SEQ_CST);
}

EXPORT int private_add(int n)
{
    return (int)(private_instances += n);
}

EXPORT void text_set(const char *text)
{
    unsigned i = 0;
    for (; text[i] && i < sizeof shared_text - 1; i++)
        shared_text[i] = text[i];
    shared_text[i] = 0;
}

EXPORT const char *text_get(void)
{
    return (const char *)shared_text;
}
