/*
 * Odd programs that call functions: of import tables and by pointer, with values, addresses and
 * what other calls returned as arguments.
 *
 *     struct odd_calls c;
 *     odd_calls_begin(&c, odd, PEBUILD_EXE, ODD_NAMES("LoadLibraryA"), NULL, NULL);
 *     uint32_t handle = odd_calls_slot(&c);
 *     ODD_CALL(&c, "LoadLibraryA", handle, ODD_AT(odd_calls_text(&c, "a.dll")));
 *     ODD_PRINTF(&c, "%x", ODD_IN(handle));
 *     odd_exit(odd, 0);
 *     odd_calls_end(&c);
 *
 * ".idata" lies at 0x1000, the code at 0x2000, ".data" with texts and slots at 0x3000.
 */
#ifndef TESTS_ODD_CALLS_H
#define TESTS_ODD_CALLS_H

#include "tests/odd/odd.h"

#define ODD_DATA 0x3000u

struct odd_calls {
    struct odd *odd;
    struct pebuild_import imports[3]; /* msvcrt.dll, KERNEL32.dll, another */
    uint32_t import_count;
    uint8_t data[0xf00]; /* at ODD_DATA */
    uint32_t used;
};

enum odd_argument_kind { ODD_ARGUMENT_VALUE, ODD_ARGUMENT_AT, ODD_ARGUMENT_IN };
struct odd_argument {
    enum odd_argument_kind kind;
    uint32_t value;
};
/* A constant; the address of an RVA; the pointer-sized value that is stored at an RVA. */
#define ODD_VALUE(v) ((struct odd_argument){ODD_ARGUMENT_VALUE, (uint32_t)(v)})
#define ODD_AT(rva)  ((struct odd_argument){ODD_ARGUMENT_AT, rva})
#define ODD_IN(rva)  ((struct odd_argument){ODD_ARGUMENT_IN, rva})

#define ODD_NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

/*
 * Starts a program or DLL (odd_begin() first to change its headers) that imports printf
 * and fflush, ExitProcess and further names of KERNEL32 and names of another module; lists end with
 * NULL, either may be NULL.
 */
void odd_calls_begin(struct odd_calls *c, struct odd *odd, unsigned flags,
                     const char *const *kernel32, const char *module, const char *const *names);
/* The code becomes ".text", the data ".data". */
void odd_calls_end(struct odd_calls *c);

/* Each returns the RVA of what it puts into the data. */
uint32_t odd_calls_bytes(struct odd_calls *c, const void *bytes, uint32_t size); /* NULL: zeroes */
uint32_t odd_calls_text(struct odd_calls *c, const char *text);
uint32_t odd_calls_wide(struct odd_calls *c, const char *text);
uint32_t odd_calls_slot(struct odd_calls *c);
/* A pointer to `rva` by the preferred base as it is now, with its fixup. */
uint32_t odd_calls_pointer(struct odd_calls *c, uint32_t rva);
/* The IAT slot of a function. */
uint32_t odd_calls_iat(const struct odd_calls *c, const char *name);

/* Calls the function whose address is at `function`; the result goes to `result` (0 = nowhere). */
void odd_calls_call(struct odd_calls *c, uint32_t function, uint32_t result,
                    const struct odd_argument *arguments, uint32_t count);
#define ODD_CALL_AT(c, function, result, ...)                                       \
    odd_calls_call(c, function, result, (const struct odd_argument[]){__VA_ARGS__}, \
                   sizeof((const struct odd_argument[]){__VA_ARGS__}) /             \
                       sizeof(struct odd_argument))
#define ODD_CALL(c, name, result, ...) ODD_CALL_AT(c, odd_calls_iat(c, name), result, __VA_ARGS__)
/* printf() with a line end. */
#define ODD_PRINTF(c, format, ...) \
    ODD_CALL(c, "printf", 0, ODD_AT(odd_calls_text(c, format "\n")), __VA_ARGS__)

/* `to` = (what is at `from` & mask) + added; the mask is sign-extended. */
void odd_calls_compute(struct odd_calls *c, uint32_t to, uint32_t from, uint32_t mask,
                       uint32_t added);
/* `to` = the 32 bits behind the pointer at `pointer`. */
void odd_calls_load32(struct odd_calls *c, uint32_t to, uint32_t pointer);

/*
 * In a function with DllMain's parameters, before anything else: what follows runs for one reason
 * (0 detach, 1 attach) and ends with odd_return(); odd_reason_end() gets the answer of
 * odd_reason().
 */
uint32_t odd_reason(struct odd *odd, uint8_t reason);
void odd_reason_end(struct odd *odd, uint32_t mark);
/* A whole DllMain (or TLS callback): prints when the process attaches and detaches. */
void odd_dll_main(struct odd *odd, const char *attach, const char *detach);

#endif
