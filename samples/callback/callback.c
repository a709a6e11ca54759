/*
 * Image code that Windows calls back, left by an exception or by longjmp: the frames of the
 * functions in between (the C runtime's, KERNEL32's) are unwound, and work afterwards.
 */
#include "winapi.h"

SAMPLE_NO_CRT

#define NOINLINE __attribute__((noinline))
#define THROWN   0xE0000011u

typedef void *jump_buffer[32] __attribute__((aligned(16)));
#ifdef __x86_64__
IMPORT int _setjmp(void *buffer, void *frame) __attribute__((returns_twice));
#define SETJMP(buffer) _setjmp(buffer, 0) /* no frame: longjmp restores, and unwinds nothing */
#else
IMPORT int _setjmp3(void *buffer, int count, ...) __attribute__((returns_twice));
#define SETJMP(buffer) _setjmp3(buffer, 0)
#endif
IMPORT void longjmp(void *buffer, int value) __attribute__((noreturn));
IMPORT void qsort(void *base, SIZE_T count, SIZE_T size,
                  int (*compare)(const void *, const void *));
IMPORT BOOL WINAPI EnumResourceNamesW(HMODULE module, const WCHAR *type, void *function,
                                      LONG_PTR value);
IMPORT BOOL WINAPI InitOnceExecuteOnce(void *once, void *function, void *parameter, void **context);

static jump_buffer buffer;
static int leave; /* how callbacks end: 0 = return */
enum { RETURN, JUMP, RAISE };

static NOINLINE void end_callback(void)
{
    if (leave == JUMP)
        longjmp(buffer, 5);
    if (leave == RAISE)
        RaiseException(THROWN, 0, 0, 0);
}

static int compare(const void *a, const void *b)
{
    end_callback();
    return *(const int *)a - *(const int *)b;
}

static NOINLINE void sort(void)
{
    int numbers[] = {3, 1, 2};
    qsort(numbers, 3, sizeof *numbers, compare);
    say("sorted: %d %d %d", numbers[0], numbers[1], numbers[2]);
}

static void do_jump(void (*function)(void))
{
    int value = SETJMP(buffer);
    if (value == 0) {
        leave = JUMP;
        function();
        say("never");
    }
    say("jumped with %d", value);
}

static void jump_from_sort(void)
{
    do_jump(sort);
    leave = RETURN;
    sort();
}

#ifdef __clang__
static NOINLINE void with_finally(void (*function)(void))
{
    __try {
        function();
        __asm__ volatile("nop");
    } __finally {
        say("finally, abnormal %d", __abnormal_termination());
    }
}

static void do_raise(void (*function)(void))
{
    leave = RAISE;
    __try {
        with_finally(function);
        say("never");
    } __except (__exception_code() == THROWN) {
        say("caught");
    }
    leave = RETURN;
}

static void raise_from_sort(void)
{
    do_raise(sort);
    sort();
}

static BOOL WINAPI on_name(HMODULE module, const WCHAR *type, WCHAR *name, LONG_PTR value)
{
    say("resource %d", (int)(ULONG_PTR)name);
    end_callback();
    return 1;
}

static NOINLINE void enumerate(void)
{
    HMODULE module = LoadLibraryA("resource.dll");
    say("all: %d", EnumResourceNamesW(module, (const WCHAR *)256, on_name, 0));
}

static void raise_from_resources(void)
{
    do_raise(enumerate);
    enumerate();
}

static int once_calls;

static BOOL WINAPI initialise(void *once, void *parameter, void **context)
{
    say("initialise, call %d", ++once_calls);
    end_callback();
    return 1;
}

static void *once;

static NOINLINE void run_once(void)
{
    say("once: %d", InitOnceExecuteOnce(&once, initialise, 0, 0));
}

static int answer_in_callback(void)
{
    say("filter runs before the callback is left");
    return CONTINUE_EXECUTION;
}

/* The exception is continued: the callback and the function that called it go on. */
static void continue_in_callback(void)
{
    leave = RAISE;
    __try {
        once_calls = 0;
        run_once();
    } __except (answer_in_callback()) {
        say("never");
    }
}

static DWORD WINAPI thread_main(void *parameter)
{
    __try {
        ((volatile int *)parameter)[0] = 1;
        RaiseException(THROWN, 0, 0, 0);
        __asm__ volatile("nop");
    } __except (EXECUTE_HANDLER) {
        say("caught on the thread");
    }
    return 8;
}

static void on_thread(void)
{
    int shared = 0;
    DWORD code = 0;
    HANDLE thread = CreateThread(0, 0, thread_main, &shared, 0, 0);
    WaitForSingleObject(thread, (DWORD)-1);
    GetExitCodeThread(thread, &code);
    CloseHandle(thread);
    say("wrote %d, exit code %d", shared, (int)code);
}
#endif

void start(void)
{
    static const struct sample_case cases[] = {
        {"jump_from_sort", jump_from_sort},
#ifdef __clang__
        {"raise_from_sort", raise_from_sort},
        {"raise_from_resources", raise_from_resources},
        {"continue_in_callback", continue_in_callback},
        {"on_thread", on_thread},
#endif
    };
    RUN_CASE(cases);
}
