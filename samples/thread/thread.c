/* What happens around a thread: DLLs' notifications, TLS and FLS, and in which order. */
#include "winapi.h"

SAMPLE_NO_CRT

IMPORT DWORD WINAPI FlsAlloc(void *callback);
IMPORT BOOL WINAPI FlsSetValue(DWORD index, void *value);
IMPORT void *WINAPI FlsGetValue(DWORD index);
IMPORT BOOL WINAPI FlsFree(DWORD index);
IMPORT DWORD WINAPI TlsAlloc(void);
IMPORT BOOL WINAPI TlsSetValue(DWORD index, void *value);
IMPORT void *WINAPI TlsGetValue(DWORD index);
IMPORT void WINAPI ExitThread(DWORD code);

static DWORD fls, tls;

static void WINAPI on_fls(void *value)
{
    say("FLS callback: %d", (int)(ULONG_PTR)value);
}

static void run(void *function, void *parameter)
{
    DWORD code = 0;
    HANDLE thread = CreateThread(0, 0, function, parameter, 0, 0);
    say("wait: %d", (int)WaitForSingleObject(thread, (DWORD)-1));
    GetExitCodeThread(thread, &code);
    say("exit code %d", (int)code);
    CloseHandle(thread);
}

static DWORD WINAPI plain_thread(void *parameter)
{
    say("thread: %d", (int)(ULONG_PTR)parameter);
    return 3;
}

static DWORD WINAPI leaving_thread(void *parameter)
{
    say("thread leaves");
    ExitThread(4);
    return 5;
}

static void dlls(void)
{
    HMODULE loud = LoadLibraryA("loud.dll"), quiet = LoadLibraryA("quiet.dll");
    run(plain_thread, (void *)1);
    run(leaving_thread, 0);
    FreeLibrary(quiet);
    FreeLibrary(loud);
}

static DWORD WINAPI slot_thread(void *parameter)
{
    say("empty: %d %d", FlsGetValue(fls) == 0, TlsGetValue(tls) == 0);
    FlsSetValue(fls, parameter);
    TlsSetValue(tls, parameter);
    say("set: %d %d", (int)(ULONG_PTR)FlsGetValue(fls), (int)(ULONG_PTR)TlsGetValue(tls));
    return 0;
}

static void slots(void)
{
    HMODULE loud = LoadLibraryA("loud.dll");
    fls = FlsAlloc(on_fls);
    tls = TlsAlloc();
    FlsSetValue(fls, (void *)1);
    run(slot_thread, (void *)2);
    say("main: %d", (int)(ULONG_PTR)FlsGetValue(fls));
    say("free: %d", FlsFree(fls));
    FreeLibrary(loud);
}

void start(void)
{
    static const struct sample_case cases[] = {{"dlls", dlls}, {"slots", slots}};
    RUN_CASE(cases);
}
