/* Exceptions that nobody handles: how the process, or the load, ends. */
#include "winapi.h"

SAMPLE_NO_CRT

static void fault(void)
{
    *(volatile int *)(ULONG_PTR)0x10 = 1;
}

static void software(void)
{
    ULONG_PTR value = 7;
    RaiseException(0xE0000042, 0, 1, &value);
    say("never");
}

static int WINAPI last_filter(struct exception_pointers *pointers)
{
    say("filter: %x", pointers->record->code);
    return EXECUTE_HANDLER;
}

static int WINAPI repairing_filter(struct exception_pointers *pointers)
{
    say("repairs %x", pointers->record->code);
    return CONTINUE_EXECUTION;
}

static void filtered(void)
{
    say("no filter before: %d", SetUnhandledExceptionFilter(last_filter) == 0);
    software();
}

static void repaired(void)
{
    SetUnhandledExceptionFilter(repairing_filter);
    RaiseException(0xE0000043, 0, 0, 0);
    say("went on");
    say("was set: %d", SetUnhandledExceptionFilter(0) == (void *)repairing_filter);
}

static DWORD WINAPI faulting_thread(void *parameter)
{
    fault();
    return 0;
}

/* The exception of any thread ends the whole process. */
static void thread(void)
{
    WaitForSingleObject(CreateThread(0, 0, faulting_thread, 0, 0, 0), (DWORD)-1);
    say("never");
}

static int recurse(volatile char *above)
{
    volatile char frame[2000];
    frame[0] = *above;
    return frame[0] ? recurse(frame) + frame[1] : 0;
}

static void overflow(void)
{
    volatile char first = 1;
    recurse(&first);
}

/* A load that fails with the status of the exception, and the program goes on. */
static void dll(void)
{
    HMODULE module = LoadLibraryA("badinit.dll");
    say("loaded: %d, an error: %d", module != 0, GetLastError() != 0);
}

/* TLS callbacks run before DllMain; what they raise is dropped. */
static void tls(void)
{
    HMODULE module = LoadLibraryA("badtls.dll");
    say("loaded: %d", module != 0);
}

void start(void)
{
    static const struct sample_case cases[] = {
        {"fault", fault},   {"software", software}, {"filtered", filtered}, {"repaired", repaired},
        {"thread", thread}, {"overflow", overflow}, {"dll", dll},           {"tls", tls},
    };
    RUN_CASE(cases);
}
