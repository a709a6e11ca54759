/*
 * C++ exceptions that cross between a program and a DLL, both with the shared runtime of mingw-w64
 * (libstdc++-6.dll and libgcc's DLL), which keeps one list of exceptions for all of them.
 */
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "throw.h"

static void value()
{
    try {
        Scope scope("try");
        throw_int(42);
    } catch (int number) {
        std::printf("int %d\n", number);
    }
}

static void base()
{
    for (int file = 0; file < 2; file++)
        try {
            throw_error(7 + file, file != 0);
        } catch (const FileError &error) {
            std::printf("FileError handler: %s %d\n", error.name(), error.code);
        } catch (const Error &error) {
            std::printf("Error handler: %s %d\n", error.name(), error.code);
        }
    std::printf("living: %d\n", living_errors());
}

static void throw_file_error()
{
    Scope scope("callback");
    throw FileError(9);
}

static void rethrow()
{
    try {
        call_and_rethrow(throw_file_error);
    } catch (const Error &error) {
        std::printf("the program caught %s %d\n", error.name(), error.code);
    }
    std::printf("living: %d\n", living_errors());
}

static void throw_five()
{
    throw 5;
}

static void into_dll()
{
    std::printf("the DLL caught %d\n", call_and_catch(throw_five));
}

static void standard()
{
    try {
        throw_standard("from the DLL");
    } catch (const std::exception &error) {
        std::printf("what: %s\n", error.what());
    }
    try {
        std::vector<int> empty;
        empty.at(3) = 1;
    } catch (const std::out_of_range &) {
        std::printf("out_of_range from the runtime's DLL\n");
    }
    try {
        std::string text("abc");
        text.substr(10);
    } catch (...) {
        std::printf("anything\n");
    }
}

static void nested()
{
    try {
        try {
            throw_int(1);
        } catch (int first) {
            std::printf("handler of %d throws\n", first);
            throw_error(2, false);
        }
    } catch (const Error &error) {
        std::printf("then %s %d\n", error.name(), error.code);
    }
    try {
        throw_int(3);
    } catch (int) {
        try {
            throw_int(4);
        } catch (int inner) {
            std::printf("inside a handler: %d\n", inner);
        }
        try {
            throw;
        } catch (int outer) {
            std::printf("still current: %d\n", outer);
        }
    }
}

static void pointer()
{
    std::exception_ptr kept;
    try {
        throw_error(11, true);
    } catch (...) {
        kept = std::current_exception();
    }
    std::printf("kept, living: %d\n", living_errors());
    try {
        std::rethrow_exception(kept);
    } catch (const FileError &error) {
        std::printf("again: %d\n", error.code);
    }
    kept = nullptr;
    std::printf("living: %d\n", living_errors());
}

static int recurse(int depth)
{
    Error local(depth);
    if (depth == 0)
        throw 1000;
    return recurse(depth - 1) + local.code;
}

static void deep()
{
    int caught = 0;
    for (int i = 0; i < 100; i++)
        try {
            recurse(100);
        } catch (int) {
            caught++;
        }
    std::printf("%d caught, living: %d\n", caught, living_errors());
}

#ifdef __x86_64__
static int compare(const void *a, const void *b)
{
    if (*static_cast<const int *>(b) == 3 || *static_cast<const int *>(a) == 3)
        throw_int(3);
    return *static_cast<const int *>(a) - *static_cast<const int *>(b);
}

/* Through a function of the C runtime's DLL, whose frames have tables like all others. */
static void through_qsort()
{
    int numbers[] = {5, 2, 3, 1, 4};
    try {
        Scope scope("try");
        std::qsort(numbers, 5, sizeof *numbers, compare);
        std::printf("never\n");
    } catch (int number) {
        std::printf("comparing %d\n", number);
    }
}
#else
static void through_qsort()
{
}
#endif

static void terminated()
{
    std::set_terminate([] {
        std::printf("terminate\n");
        std::fflush(stdout);
        std::_Exit(33);
    });
    Scope scope("never said");
    throw_int(1);
}

static void no_throw() noexcept
{
    throw_int(2);
}

static void broken_promise()
{
    std::set_terminate([] {
        std::printf("terminate\n");
        std::fflush(stdout);
        std::_Exit(34);
    });
    try {
        no_throw();
    } catch (int) {
        std::printf("never\n");
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)();
    } cases[] = {{"value", value},
                 {"base", base},
                 {"rethrow", rethrow},
                 {"into_dll", into_dll},
                 {"standard", standard},
                 {"nested", nested},
                 {"pointer", pointer},
                 {"deep", deep},
                 {"through_qsort", through_qsort},
                 {"terminated", terminated},
                 {"broken_promise", broken_promise}};
    for (const auto &one : cases)
        if (argc > 1 && std::strcmp(one.name, argv[argc - 1]) == 0) {
            one.run();
            std::printf("end\n");
            return 0;
        }
    return 99;
}
