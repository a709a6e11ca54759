/* What the catcher (throw.cpp) and the DLL that throws (sample_throw.cpp) share. */
#ifndef SAMPLE_THROW_H
#define SAMPLE_THROW_H

#include <cstdio>

#ifdef THROW_DLL
#define THROW_API __declspec(dllexport)
#else
#define THROW_API __declspec(dllimport)
#endif

class THROW_API Error
{
  public:
    explicit Error(int code);
    Error(const Error &other);
    virtual ~Error();
    virtual const char *name() const;
    int code;
};

class THROW_API FileError : public Error
{
  public:
    explicit FileError(int code);
    ~FileError() override;
    const char *name() const override;
};

/* Says when its scope ends. */
struct Scope {
    const char *name;
    explicit Scope(const char *name) : name(name)
    {
    }
    ~Scope()
    {
        std::printf("leaves %s\n", name);
    }
};

THROW_API void throw_int(int value);
THROW_API void throw_error(int code, bool file);
THROW_API void throw_standard(const char *text);
/* Calls back; catches what it throws, says so and lets it go on. */
THROW_API void call_and_rethrow(void (*callback)());
THROW_API int call_and_catch(void (*callback)());
THROW_API int living_errors();

#endif
