/*
 * __try, __except and __finally as clang compiles them for Windows: one case a rule of "Structured
 * exception handling" (Microsoft's C reference), each prints what ran and in which order.
 */
#include "winapi.h"

SAMPLE_NO_CRT

#define NOINLINE __attribute__((noinline))

typedef void *jump_buffer[32]; /* larger than both word sizes' */
#ifdef __x86_64__
IMPORT int _setjmp(void *buffer, void *frame) __attribute__((returns_twice));
#define SETJMP(buffer) _setjmp(buffer, __builtin_frame_address(0))
#else
IMPORT int _setjmp3(void *buffer, int count, ...) __attribute__((returns_twice));
#define SETJMP(buffer) _setjmp3(buffer, 0)
#endif
IMPORT void longjmp(void *buffer, int value) __attribute__((noreturn));
IMPORT int _resetstkoflw(void);

#define FIRST  0xE0000001u
#define SECOND 0xE0000002u
#define THIRD  0xE0000003u

static NOINLINE void raise_code(DWORD code)
{
    RaiseException(code, 0, 0, 0);
}

/* The return address is what scope tables are asked for; without an instruction between them, the
 * scopes of two calls in a row would both hold it (MSVC puts a nop there, clang does not). */
#define NOP __asm__ volatile("nop")
#define raise(code)       \
    do {                  \
        raise_code(code); \
        NOP;              \
    } while (0)

static NOINLINE int read_from(volatile int *address)
{
    return *address;
}

static NOINLINE void write_to(volatile int *address, int value)
{
    *address = value;
}

static int answer(const char *name, DWORD code, int value)
{
    say("filter %s: %x", name, code);
    return value;
}

/* ---- order ------------------------------------------------------------------------------------
 */

static void plain(void)
{
    __try {
        say("try");
        raise(FIRST);
        say("never");
    } __except (answer("here", __exception_code(), EXECUTE_HANDLER)) {
        say("handler: %x", __exception_code());
    }
}

static NOINLINE void inner(void)
{
    __try {
        __try {
            raise(FIRST);
        } __finally {
            say("finally, abnormal %d", __abnormal_termination());
        }
    } __except (answer("inner", __exception_code(), CONTINUE_SEARCH)) {
        say("never");
    }
}

/* Both filters run before any __finally. */
static void nested(void)
{
    __try {
        __try {
            inner();
            NOP;
        } __finally {
            say("outer finally, abnormal %d", __abnormal_termination());
        }
    } __except (answer("outer", __exception_code(), EXECUTE_HANDLER)) {
        say("handler");
    }
}

static void normal_end(void)
{
    __try {
        say("try");
    } __finally {
        say("finally, abnormal %d", __abnormal_termination());
    }
    __try {
        __try {
            __leave;
        } __finally {
            say("finally after __leave, abnormal %d", __abnormal_termination());
        }
    } __except (EXECUTE_HANDLER) {
        say("never");
    }
}

static NOINLINE int early(int x)
{
    __try {
        if (x)
            return 10 * x;
        say("not left");
    } __finally {
        say("finally");
    }
    return -1;
}

static void return_from_try(void)
{
    int value = early(0);
    say("%d", value);
    value = early(4);
    say("%d", value);
}

static void from_handler(void)
{
    __try {
        __try {
            raise(FIRST);
        } __except (EXECUTE_HANDLER) {
            say("handler raises");
            raise(SECOND);
        }
    } __except (answer("outer", __exception_code(), EXECUTE_HANDLER)) {
        say("handler of %x", __exception_code());
    }
}

static NOINLINE void loop_body(int i)
{
    __try {
        if (i % 2)
            raise(FIRST + (DWORD)i);
        say("%d: no exception", i);
    } __except (EXECUTE_HANDLER) {
        say("%d: %x", i, __exception_code());
    }
}

static void again(void)
{
    for (int i = 0; i < 4; i++)
        loop_body(i);
}

/* ---- faults -----------------------------------------------------------------------------------
 */

static int show_fault(struct exception_pointers *pointers)
{
    say("filter: %x, %d parameters, kind %d, address %p", pointers->record->code,
        (int)pointers->record->count, (int)pointers->record->information[0],
        pointers->record->information[1]);
    return EXECUTE_HANDLER;
}

static void fault(void)
{
    __try {
        read_from((int *)0x10);
    } __except (show_fault(__exception_info())) {
        say("read");
    }
    __try {
        write_to((int *)0x20, 1);
    } __except (show_fault(__exception_info())) {
        say("write");
    }
}

static char *arena;
static int commits;

static int commit_page(struct exception_pointers *pointers)
{
    ULONG_PTR address = pointers->record->information[1];
    if (pointers->record->code != ACCESS_VIOLATION || address - (ULONG_PTR)arena >= 0x10000)
        return CONTINUE_SEARCH;
    commits++;
    return VirtualAlloc((void *)address, 1, MEM_COMMIT, PAGE_READWRITE) ? CONTINUE_EXECUTION
                                                                        : CONTINUE_SEARCH;
}

/* The filter repairs the cause, and the instruction that faulted runs again. */
static void commit(void)
{
    int sum = 0;
    arena = VirtualAlloc(0, 0x10000, MEM_RESERVE, PAGE_NOACCESS);
    __try {
        for (int i = 0; i < 0x10000; i += 0x800)
            write_to((int *)(arena + i), i / 0x800);
        for (int i = 0; i < 0x10000; i += 0x800)
            sum += read_from((int *)(arena + i));
    } __except (commit_page(__exception_info())) {
        say("never");
    }
    say("%d commits, sum %d", commits, sum);
    VirtualFree(arena, 0, MEM_RELEASE);
}

/* ---- filters ----------------------------------------------------------------------------------
 */

static void raise_continue(void)
{
    __try {
        raise(FIRST);
        say("went on after RaiseException");
    } __except (answer("continues", __exception_code(), CONTINUE_EXECUTION)) {
        say("never");
    }
}

static int noncontinuable_filter(struct exception_pointers *pointers)
{
    say("filter: %x flags %x", pointers->record->code, pointers->record->flags & NONCONTINUABLE);
    return pointers->record->code == FIRST ? CONTINUE_EXECUTION : EXECUTE_HANDLER;
}

/* Continuing where nobody may raises STATUS_NONCONTINUABLE_EXCEPTION. */
static void noncontinuable(void)
{
    __try {
        RaiseException(FIRST, NONCONTINUABLE, 0, 0);
        say("never");
    } __except (noncontinuable_filter(__exception_info())) {
        say("handler: %x", __exception_code());
    }
}

static int raising_filter(void)
{
    say("filter raises");
    __try {
        raise(SECOND);
    } __except (answer("in the filter", __exception_code(), EXECUTE_HANDLER)) {
        say("handled in the filter");
    }
    return EXECUTE_HANDLER;
}

static void in_filter(void)
{
    __try {
        raise(FIRST);
    } __except (raising_filter()) {
        say("handler: %x", __exception_code());
    }
}

static int lets_out(struct exception_pointers *pointers)
{
    say("inner filter: %x, nested %d", pointers->record->code, pointers->record->flags >> 4 & 1);
    if (pointers->record->code == FIRST)
        raise(SECOND);
    return CONTINUE_SEARCH;
}

static int outermost(struct exception_pointers *pointers)
{
    say("outer filter: %x, nested %d", pointers->record->code, pointers->record->flags >> 4 & 1);
    return EXECUTE_HANDLER;
}

/* An exception that leaves a filter: the search starts in the filter, and comes to the same scope,
 * whose filter is asked about the new exception as well. */
static void out_of_filter(void)
{
    __try {
        __try {
            raise(FIRST);
        } __except (lets_out(__exception_info())) {
            say("never");
        }
    } __except (outermost(__exception_info())) {
        say("handler: %x", __exception_code());
    }
}

static int show_values(struct exception_pointers *pointers)
{
    struct exception_record *record = pointers->record;
    say("%x: %d values, %d %d %d", record->code, (int)record->count, (int)record->information[0],
        (int)record->information[1], (int)record->information[14]);
    return EXECUTE_HANDLER;
}

static void values(void)
{
    ULONG_PTR numbers[20];
    for (int i = 0; i < 20; i++)
        numbers[i] = (ULONG_PTR)(100 + i);
    __try {
        RaiseException(FIRST, 0, 20, numbers); /* 15 at most */
    } __except (show_values(__exception_info())) {
        say("handler");
    }
}

/* ---- unwinding --------------------------------------------------------------------------------
 */

static NOINLINE void raises_in_finally(void)
{
    __try {
        raise(FIRST);
    } __finally {
        say("finally raises");
        raise(SECOND);
    }
}

/* The second exception's unwind runs into the first one's, and replaces it. */
static void collide(void)
{
    __try {
        __try {
            __try {
                raises_in_finally();
                NOP;
            } __finally {
                say("between");
            }
        } __except (answer("near", __exception_code(),
                           __exception_code() == SECOND ? EXECUTE_HANDLER : CONTINUE_SEARCH)) {
            say("near handler");
        }
        say("after the near handler");
    } __except (answer("far", __exception_code(), EXECUTE_HANDLER)) {
        say("never");
    }
}

/* An exception inside a __finally that is handled there lets the unwind go on. */
static NOINLINE void handles_in_finally(void)
{
    __try {
        raise(FIRST);
    } __finally {
        __try {
            raise(THIRD);
        } __except (EXECUTE_HANDLER) {
            say("handled in the finally");
        }
    }
}

static void inside_finally(void)
{
    __try {
        handles_in_finally();
        NOP;
    } __except (answer("outer", __exception_code(), EXECUTE_HANDLER)) {
        say("handler: %x", __exception_code());
    }
}

static jump_buffer buffer;

static NOINLINE void jumps(int value)
{
    __try {
        say("jump");
        longjmp(buffer, value);
    } __finally {
        say("finally on the way");
    }
}

static void jump_over(void)
{
    volatile int turn = 0;
    int value = SETJMP(buffer);
    say("setjmp: %d", value);
    if (turn < 2) {
        turn++;
        jumps(turn == 1 ? 7 : 0); /* 0 arrives as 1 */
    }
}

static NOINLINE int deep(int n)
{
    int value = 0;
    __try {
        if (n == 0)
            raise(FIRST);
        value = deep(n - 1) + 1;
        NOP;
    } __finally {
        commits++;
    }
    return value;
}

static void many_frames(void)
{
    __try {
        deep(200);
    } __except (EXECUTE_HANDLER) {
        say("%d __finally blocks", commits);
    }
}

/* ---- stack ------------------------------------------------------------------------------------
 */

static NOINLINE int recurse(volatile char *above)
{
    volatile char frame[2000];
    frame[0] = *above;
    frame[1999] = frame[0];
    if (frame[0] != 1) /* never */
        return 0;
    return recurse(frame) + frame[1999];
}

static int is_overflow(DWORD code)
{
    return code == STACK_OVERFLOW ? EXECUTE_HANDLER : CONTINUE_SEARCH;
}

static NOINLINE void overflow_once(void)
{
    volatile char first = 1;
    __try {
        recurse(&first);
    } __except (is_overflow(__exception_code())) {
        say("stack overflow caught");
    }
}

static void overflow(void)
{
    for (int i = 0; i < 3; i++) {
        overflow_once();
        say("_resetstkoflw: %s", _resetstkoflw() ? "done" : "failed");
    }
}

/* ---- guard pages ------------------------------------------------------------------------------
 */

static void guard(void)
{
    int *page = VirtualAlloc(0, 0x1000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD);
    for (int i = 0; i < 2; i++) {
        __try {
            write_to(page, 5);
            say("written: %d", read_from(page));
        } __except (answer("guard", __exception_code(), EXECUTE_HANDLER)) {
            say("handler");
        }
    }
}

void start(void)
{
    static const struct sample_case cases[] = {
        {"plain", plain},
        {"nested", nested},
        {"normal_end", normal_end},
        {"return_from_try", return_from_try},
        {"from_handler", from_handler},
        {"again", again},
        {"fault", fault},
        {"commit", commit},
        {"raise_continue", raise_continue},
        {"noncontinuable", noncontinuable},
        {"in_filter", in_filter},
        {"out_of_filter", out_of_filter},
        {"values", values},
        {"collide", collide},
        {"inside_finally", inside_finally},
        {"jump_over", jump_over},
        {"many_frames", many_frames},
        {"overflow", overflow},
        {"guard", guard},
    };
    RUN_CASE(cases);
}
