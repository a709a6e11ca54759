/*
 * cxx_msvc.dll: C++ exceptions as Visual C++'s compilers make them (clang's output uses the same
 * tables and runtime functions).
 *
 * run(n) runs case n and returns what happened as a line of text; run_all() returns how many lines
 * are not as C++ wants them. In lines of Loud objects +1 is the making of object 1, c1 a copy of
 * it, -1 its end.
 *
 *   clang++ --target=x86_64-pc-windows-msvc -O1 -std=c++17 -fexceptions -fcxx-exceptions
 * -fno-threadsafe-statics -ffreestanding -c cxx.cpp lld-link /dll /nodefaultlib /entry:DllMain
 * /out:cxx_msvc.dll cxx.o cxx_thrower.lib vcruntime140.lib    (_CxxThrowException@8
 * __CxxFrameHandler3 __std_terminate
 *                                 __uncaught_exceptions)
 *            kernel32.lib        (RaiseException@16)
 */
#include "cxx.h"
#include "runtime.h"

extern "C" __declspec(dllimport) int __cdecl __uncaught_exceptions();
extern "C" __declspec(dllimport) void __stdcall RaiseException(unsigned, unsigned, unsigned,
                                                               const void *);

static Log log;
static volatile int zero;

#define NOINLINE __attribute__((noinline))

static void by_int()
{
    try {
        throw_int(42);
    } catch (char) {
        log.put("char");
    } catch (int v) {
        log.put(v);
    }
}

static void by_value()
{
    try {
        Loud a(&log, 1);
        throw_loud(&log, 2);
    } catch (Loud l) {
        l.say("caught");
    }
}

static void by_reference()
{
    try {
        throw_loud(&log, 4);
    } catch (const Loud &l) {
        log.put(l.id);
        log.put(" ");
    }
}

static void by_base()
{
    try {
        throw_derived(5);
    } catch (const Base &b) {
        log.put(b.value());
    }
    try {
        throw_derived(6);
    } catch (Base b) {
        log.put(" ");
        log.put(b.value());
    }
}

static void by_pointer()
{
    static Derived d(7);
    try {
        throw &d;
    } catch (Base *b) {
        log.put(b->value());
        log.put(static_cast<Derived *>(b) == &d ? " same" : " other");
    }
    try {
        throw static_cast<Base *>(nullptr);
    } catch (const Base *b) {
        log.put(b ? " pointer" : " null");
    }
}

static void by_virtual_base()
{
    try {
        throw_virtual(8);
    } catch (const Base &b) {
        log.put(b.value());
    }
    try {
        throw_virtual(9);
    } catch (Other o) {
        log.put(" ");
        log.put(o.other());
    }
    try {
        throw_virtual(10);
    } catch (VirtualBoth v) {
        log.put(" ");
        log.put(v.value() + v.other());
    }
}

static void qualifiers()
{
    const char *text = "text";
    try {
        throw text;
    } catch (char *) {
        log.put("char*");
    } catch (const void *p) {
        log.put(p == text ? "const void*" : "wrong");
    }
}

static void rethrow()
{
    try {
        try {
            throw_loud(&log, 1);
        } catch (Loud &l) {
            l.say("in");
            throw;
        }
    } catch (Loud &l) {
        l.say("out");
    }
}

static NOINLINE void throw_again()
{
    throw;
}

/* The exception that is thrown again and caught inside of its catch block lives on. */
static void rethrow_inside()
{
    try {
        throw_loud(&log, 1);
    } catch (Loud &l) {
        try {
            throw_again();
        } catch (Loud &same) {
            log.put(&same == &l ? "same " : "other ");
        }
        l.say("alive");
    }
}

static void other_from_catch()
{
    try {
        Loud outer(&log, 9);
        try {
            Loud inner(&log, 8);
            throw Loud(&log, 1);
        } catch (Loud &l) {
            Loud local(&log, 7);
            throw Loud(&log, 2);
        }
    } catch (Loud &l) {
        l.say("got");
    }
}

static NOINLINE void nested_catches(int depth)
{
    try {
        throw depth;
    } catch (int v) {
        log.put(v);
        try {
            if (depth < 3)
                nested_catches(depth + 1);
            throw Loud(&log, depth);
        } catch (Loud &l) {
            l.say("n");
        }
        try {
            throw 'x';
        } catch (char) {
            log.put("x");
        }
        log.put(v);
    }
}

static void nested()
{
    nested_catches(1);
}

static NOINLINE int leave_catch(int how)
{
    for (int i = 0; i < 3; i++) {
        Loud l(&log, i);
        try {
            throw i;
        } catch (int v) {
            if (how == 0)
                continue;
            if (how == 1 && v == 1)
                break;
            if (how == 2)
                return v + 10;
        }
    }
    return 0;
}

static void leave()
{
    leave_catch(0);
    log.put("| ");
    leave_catch(1);
    log.put("| ");
    log.put(leave_catch(2));
}

struct Member {
    Loud loud;
    Member(int id) : loud(&log, id)
    {
        if (id == 2)
            throw 2;
    }
};
struct Whole {
    Loud first;
    Member second;
    Whole()
    try : first(&log, 1), second(2) {
    } catch (int v) {
        log.put("fn");
        log.put(v);
        log.put(" ");
    } /* throws again by itself */
};

static void function_try()
{
    try {
        Whole w;
    } catch (int v) {
        log.put(v);
    }
}

struct Careful {
    ~Careful()
    {
        log.put(__uncaught_exceptions());
        try {
            throw_int(1);
        } catch (int) {
            log.put("safe ");
        }
        log.put(__uncaught_exceptions());
        log.put(" ");
    }
};

/* A destructor may throw as long as it catches. */
static void throw_in_destructor()
{
    try {
        Careful a, b;
        throw 3;
    } catch (int v) {
        log.put(v);
        log.put(__uncaught_exceptions());
    }
}

static void throw_derived_too(int value)
{
    throw Derived(value);
}

static void across()
{
    log.put(call_and_catch(throw_derived_too, 11));
    log.put(" ");
    log.put(call_and_catch([](int v) { throw v; }, 12));
}

static NOINLINE void deep(int n)
{
    struct Count {
        ~Count()
        {
            zero = zero + 1;
        }
    } count;
    if (n == 0)
        throw_int(5);
    else
        deep(n - 1);
    zero = zero + 0;
}

static void recursion()
{
    zero = 0;
    try {
        deep(200);
    } catch (...) {
        log.put(zero);
    }
}

static void arrays()
{
    try {
        Loud a[2] = {Loud(&log, 1), Loud(&log, 2)};
        throw 1;
    } catch (...) {
        log.put("all");
    }
}

#ifdef _WIN64
/* packed.S */
extern "C" int packed_catch(void (*function)(int), int value);
extern "C" void packed_destroy(void *)
{
    log.put("~ ");
}
extern "C" void packed_note()
{
    log.put("note ");
}

static void packed(void (*function)(int), int value)
{
    try {
        log.put(packed_catch(function, value));
    } catch (int v) {
        log.put("out");
        log.put(v);
    } catch (const Base &b) {
        log.put("base");
        log.put(b.value());
    }
    log.put(" ");
}

static void packed_tables()
{
    packed([](int) {}, 1);
    packed(throw_int, 2);
    packed(throw_int, 100);
    packed(throw_int, -3);
    packed(throw_derived, 4);
}
#endif

static const struct {
    void (*function)();
    const char *expected;
} cases[] = {
    {by_int, "42"},
    {by_value, "+1 +3 +2 c2 -3 -1 caught2 -2 -2 "},
    {by_reference, "+5 +4 -5 4 -4 "},
    {by_base, "11 6"},
    {by_pointer, "15 same null"},
    {by_virtual_base, "8 11 22"},
    {qualifiers, "const void*"},
    {rethrow, "+2 +1 -2 in1 out1 -1 "},
    {rethrow_inside, "+2 +1 -2 same alive1 -1 "},
    {other_from_catch, "+9 +8 +1 -8 +7 +2 -7 -1 -9 got2 -2 "},
    {nested, "123+3 n3 -3 x3+2 n2 -2 x2+1 n1 -1 x1"},
    {leave, "+0 -0 +1 -1 +2 -2 | +0 -0 +1 -1 | +0 -0 10"},
    {function_try, "+1 +2 -2 -1 fn2 2"},
    {throw_in_destructor, "1safe 1 1safe 1 30"},
    {across, "23 -1"},
    {recursion, "201"},
    {arrays, "+1 +2 -2 -1 all"},
#ifdef _WIN64
    {packed_tables, "~ 1 ~ 1002 ~ 100 note ~ out-3 ~ base9 "},
#endif
};

static bool same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

API unsigned case_count()
{
    return sizeof(cases) / sizeof(cases[0]);
}

API const char *run(unsigned n)
{
    log.length = 0;
    log.text[0] = 0;
    cases[n].function();
    return log.text;
}

API const char *expected(unsigned n)
{
    return cases[n].expected;
}

API int run_all()
{
    int wrong = 0;
    for (unsigned n = 0; n < case_count(); n++)
        wrong += !same(run(n), expected(n));
    return wrong;
}

/* `count` exceptions thrown by the other DLL; the sum of what was caught. */
API int loop(int count)
{
    int sum = 0;
    for (int i = 0; i < count; i++) {
        try {
            throw_int(1);
        } catch (int v) {
            sum += v;
        }
    }
    return sum;
}

/* Ends the process: terminate(). */
API void leave_noexcept()
{
    [](int v) noexcept { throw_int(v); }(1);
}

/* Nobody catches it. */
API void uncaught()
{
    throw_int(1);
}

/* Code that is not a C++ exception passes catch (...) of functions compiled for C++ only. */
API int foreign(unsigned code)
{
    try {
        RaiseException(code, 0, 0, nullptr);
    } catch (...) {
        return 1;
    }
    return 0;
}
