/*
 * What the two DLLs of this sample share: types that are thrown from one to the other, and a log.
 *
 * There are no headers of Visual C++ here: the compiler needs type_info's virtual table and the
 * delete operator, and each image that throws brings its own.
 */
#ifndef SAMPLE_CXX_H
#define SAMPLE_CXX_H

#define API extern "C" __declspec(dllexport)

struct Log {
    char text[1024];
    unsigned length;
    void put(const char *s)
    {
        while (*s && length < sizeof(text) - 1)
            text[length++] = *s++;
        text[length] = 0;
    }
    void put(int value)
    {
        char digits[12];
        int n = 0;
        if (value < 0)
            put("-");
        for (unsigned u = value < 0 ? 0u - value : value; n == 0 || u; u /= 10)
            digits[n++] = (char)('0' + u % 10);
        while (n) {
            char one[2] = {digits[--n], 0};
            put(one);
        }
    }
};

/* Says in the log what happens to it. */
struct Loud {
    Log *log;
    int id;
    Loud(Log *l, int i) : log(l), id(i)
    {
        say("+");
    }
    Loud(const Loud &o) : log(o.log), id(o.id)
    {
        say("c");
    }
    ~Loud()
    {
        say("-");
    }
    void say(const char *what)
    {
        log->put(what);
        log->put(id);
        log->put(" ");
    }
};

struct Base {
    int base_value;
    virtual int value() const
    {
        return base_value;
    }
    explicit Base(int v) : base_value(v)
    {
    }
};
struct Other {
    int other_value;
    virtual int other() const
    {
        return other_value;
    }
    explicit Other(int v) : other_value(v)
    {
    }
};
struct Derived : Other, Base {
    explicit Derived(int v) : Other(v + 1), Base(v)
    {
    }
    int value() const override
    {
        return base_value + other_value;
    }
};
struct VirtualLeft : virtual Base {
    VirtualLeft() : Base(0)
    {
    }
};
struct VirtualBoth : VirtualLeft, virtual Other {
    explicit VirtualBoth(int v) : Base(v), Other(v + 2)
    {
    }
};

/* cxx_thrower.dll */
extern "C" __declspec(dllimport) void throw_int(int value);
extern "C" __declspec(dllimport) void throw_derived(int value);
extern "C" __declspec(dllimport) void throw_loud(Log *log, int id);
extern "C" __declspec(dllimport) void throw_virtual(int value);
extern "C" __declspec(dllimport) int call_and_catch(void (*function)(int), int value);

#endif
