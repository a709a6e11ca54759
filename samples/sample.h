/*
 * The few Windows declarations that the samples need, so that clang can build them without a
 * Windows SDK and mingw-w64 builds the same text. Values: Microsoft's documentation of winnt.h.
 */
#ifndef SAMPLE_H
#define SAMPLE_H

typedef unsigned char BYTE;
typedef unsigned short WCHAR;
typedef unsigned int DWORD; /* 32 bits in every data model */
typedef int BOOL;
typedef void *HANDLE;
typedef void *HMODULE;

#ifdef _WIN32
#define WINAPI __stdcall
#define EXPORT __declspec(dllexport)
#define IMPORT __declspec(dllimport)
#else /* the ELF twin that benchmarks compare with */
#define WINAPI
#define EXPORT __attribute__((visibility("default")))
#endif

enum { DLL_PROCESS_DETACH, DLL_PROCESS_ATTACH, DLL_THREAD_ATTACH, DLL_THREAD_DETACH };

#ifdef __cplusplus
extern "C"
#endif
    BOOL WINAPI
    DllMain(HMODULE module, DWORD reason, void *reserved);

#ifdef _MSC_VER
/* No C runtime: the linker wants this symbol in any object that uses floating point. */
#define SAMPLE_NO_CRT int _fltused = 0;
#else
#define SAMPLE_NO_CRT
#endif

#endif
