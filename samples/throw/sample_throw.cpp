/* The DLL's side: everything here is thrown, or caught, across its boundary. */
#include <stdexcept>

#include "throw.h"

static int living;

Error::Error(int code) : code(code)
{
    living++;
}
Error::Error(const Error &other) : code(other.code)
{
    living++;
}
Error::~Error()
{
    living--;
}
const char *Error::name() const
{
    return "Error";
}

FileError::FileError(int code) : Error(code)
{
}
FileError::~FileError() = default;
const char *FileError::name() const
{
    return "FileError";
}

int living_errors()
{
    return living;
}

void throw_int(int value)
{
    Scope scope("throw_int");
    throw value;
}

void throw_error(int code, bool file)
{
    Scope outer("throw_error");
    {
        Scope inner("its block");
        if (file)
            throw FileError(code);
        throw Error(code);
    }
}

void throw_standard(const char *text)
{
    throw std::runtime_error(text);
}

void call_and_rethrow(void (*callback)())
{
    Scope scope("call_and_rethrow");
    try {
        callback();
    } catch (const Error &error) {
        std::printf("the DLL saw %s %d\n", error.name(), error.code);
        throw;
    }
}

int call_and_catch(void (*callback)())
{
    try {
        callback();
    } catch (int value) {
        return value;
    }
    return -1;
}
