/*
 * What the stress test calls (tests/stress/stress.c): each function checks itself and returns 0, or
 * says by its value what went wrong. No C runtime; with clang there are also __try blocks.
 */
#include "winapi.h"

SAMPLE_NO_CRT

#define NOINLINE __attribute__((noinline))

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
IMPORT DWORD WINAPI GetCurrentThreadId(void);

BOOL WINAPI DllMain(HMODULE module, DWORD reason, void *reserved)
{
    return 1;
}

/* ---- longjmp ----------------------------------------------------------------------------------
 */

struct sorted {
    unsigned value;
    int *countdown;
    void *buffer;
};

static int compare(const void *a, const void *b)
{
    const struct sorted *left = a, *right = b;
    if (--*left->countdown == 0)
        longjmp(left->buffer, 77);
    return left->value < right->value ? -1 : left->value > right->value;
}

/* Sorts, and leaves the sorting by a jump in every round but the last. */
EXPORT int jump_many(int rounds)
{
    volatile int done = 0;
    for (volatile int i = 0; i < rounds; i++) {
        jump_buffer buffer;
        struct sorted items[8];
        int countdown = i == rounds - 1 ? 1 << 20 : 3 + i % 5, value;
        for (unsigned k = 0; k < 8; k++)
            items[k] = (struct sorted){(k * 5 + 3) % 8, &countdown, buffer};
        value = SETJMP(buffer);
        if (value == 0) {
            qsort(items, 8, sizeof *items, compare);
            for (unsigned k = 0; k < 8; k++)
                if (items[k].value != k)
                    return 1 + i;
        } else if (value != 77)
            return -1;
        done++;
    }
    return done == rounds ? 0 : -2;
}

/* ---- unhandled --------------------------------------------------------------------------------
 */

EXPORT int raise_code(DWORD code)
{
    ULONG_PTR value = code ^ 0x5555u;
    RaiseException(code, 0, 1, &value);
    return 0;
}

EXPORT int write_to(int *address)
{
    *(volatile int *)address = 1;
    return 0;
}

/* ---- __try ------------------------------------------------------------------------------------
 */

#ifdef __clang__
/* A call: clang's __try blocks guard calls, not the instructions between them. */
static NOINLINE int read_from(ULONG_PTR address)
{
    return *(volatile int *)address;
}

static NOINLINE int faults(ULONG_PTR address, int depth, int *finals)
{
    int value = 0;
    __try {
        value = depth ? faults(address, depth - 1, finals) + 1 : read_from(address);
        __asm__ volatile("nop");
    } __finally {
        ++*finals;
    }
    return value;
}

static int is_at(struct exception_pointers *pointers, ULONG_PTR address)
{
    return pointers->record->code == ACCESS_VIOLATION && pointers->record->information[1] == address
               ? EXECUTE_HANDLER
               : CONTINUE_SEARCH;
}

EXPORT int seh_many(int rounds, int depth)
{
    for (int i = 1; i <= rounds; i++) {
        int finals = 0, caught = 0;
        ULONG_PTR address = (ULONG_PTR)(0x100 + i % 1000);
        __try {
            faults(address, depth, &finals);
            caught = -1;
        } __except (is_at(__exception_info(), address)) {
            caught = 1;
        }
        if (caught != 1 || finals != depth + 1)
            return i;
    }
    return 0;
}

static int commit_page(struct exception_pointers *pointers, ULONG_PTR arena)
{
    ULONG_PTR address = pointers->record->information[1];
    if (pointers->record->code != ACCESS_VIOLATION || address - arena >= 0x40000)
        return CONTINUE_SEARCH;
    return VirtualAlloc((void *)address, 1, MEM_COMMIT, PAGE_READWRITE) ? CONTINUE_EXECUTION
                                                                        : CONTINUE_SEARCH;
}

static NOINLINE void fill(char *arena, int value)
{
    for (int i = 0; i < 0x40000; i += 0x1000)
        *(volatile int *)(arena + i) = value + i;
}

/* Commits an arena page by page in a filter. */
EXPORT int commit_many(int value)
{
    char *arena = VirtualAlloc(0, 0x40000, MEM_RESERVE, PAGE_NOACCESS);
    int wrong = 0;
    if (!arena)
        return -1;
    __try {
        fill(arena, value);
        __asm__ volatile("nop");
    } __except (commit_page(__exception_info(), (ULONG_PTR)arena)) {
        wrong = -2;
    }
    for (int i = 0; i < 0x40000 && !wrong; i += 0x1000)
        if (*(volatile int *)(arena + i) != value + i)
            wrong = 1 + i;
    return VirtualFree(arena, 0, MEM_RELEASE) ? wrong : -3;
}
#endif

/* ---- threads ----------------------------------------------------------------------------------
 */

static DWORD WINAPI thread_main(void *parameter)
{
    int rounds = (int)(ULONG_PTR)parameter, wrong = jump_many(rounds);
#ifdef __clang__
    if (!wrong)
        wrong = seh_many(rounds, 4);
#endif
    return wrong ? 0 : 1000 + (DWORD)rounds;
}

/* Two threads of the image's own at the same time. */
EXPORT int thread_many(int rounds)
{
    HANDLE threads[2];
    int wrong = 0;
    for (int i = 0; i < 2; i++)
        if (!(threads[i] = CreateThread(0, 0, thread_main, (void *)(ULONG_PTR)(rounds + i), 0, 0)))
            return -1;
    for (int i = 0; i < 2; i++) {
        DWORD code = 0;
        if (WaitForSingleObject(threads[i], (DWORD)-1) != 0)
            wrong = -2;
        GetExitCodeThread(threads[i], &code);
        if (code != 1000 + (DWORD)(rounds + i))
            wrong = 1 + i;
        CloseHandle(threads[i]);
    }
    return wrong;
}
