/*
 * Builtin modules: DLLs that peldr or the host program provides.
 *
 * A builtin is registered as a table of exports and, optionally, the full list of names that
 * Windows exports. When it is first needed a real PE image is written for it (headers, thunks,
 * data, export directory) and mapped like any other, so that code that walks PEB.Ldr and parses
 * exports by hand works. Names on the list without a function are bound to a trap that tells its
 * name when called (design, decision 9).
 *
 * ldr/ never includes win32/: win32_register() and the host API register here.
 */
#ifndef LDR_BUILTIN_H
#define LDR_BUILTIN_H

#include <stddef.h>

#include "pe/status.h"

enum ldr_export_kind {
    LDR_EXPORT_FUNCTION,
    LDR_EXPORT_DATA,
    LDR_EXPORT_FORWARD,
    LDR_EXPORT_TRAP, /* a name without a function, for the sake of its ordinal */
};

/* One row of a table. A name or an ordinal may occur once in a module only. */
struct ldr_builtin_export {
    const char *name;    /* NULL = by ordinal only */
    uint16_t ordinal;    /* 0 = the next free one, in name order */
    uint8_t kind;        /* enum ldr_export_kind */
    const void *address; /* FUNCTION: the host function, with the convention that images expect */
    const char *forward; /* FORWARD: "NTDLL.RtlAllocateHeap" */
    uint32_t size;       /* DATA: bytes to reserve in the image's .data */
    void **location;     /* DATA: receives the address of the reserved bytes once mapped */
};

#define LDR_FN(prefix, fn)                                                            \
    {                                                                                 \
        .name = #fn, .kind = LDR_EXPORT_FUNCTION, .address = (const void *)prefix##fn \
    }
#define LDR_FWD(fn, target)                                        \
    {                                                              \
        .name = #fn, .kind = LDR_EXPORT_FORWARD, .forward = target \
    }
#define LDR_DATA(fn, bytes, where)                                                        \
    {                                                                                     \
        .name = #fn, .kind = LDR_EXPORT_DATA, .size = bytes, .location = (void **)(where) \
    }

/* One family of functions of a builtin (win32/kernel32/heap.c ...). */
struct ldr_builtin_family {
    const struct ldr_builtin_export *exports;
    size_t count;
};

/* A row of one of the tables that a set of builtins is made of, by the numbers of both. */
struct ldr_row_ref {
    uint16_t table, row;
};

/*
 * An image that was written when peldr was built: the file that would be written at run time, but
 * for the addresses of the host's functions.
 */
struct ldr_prepared_data {
    uint32_t rva;
    struct ldr_row_ref from; /* receives the address in its `location` */
};
struct ldr_prepared {
    const char *name;     /* of the builtin */
    const uint8_t *bytes; /* the file, then zeroes to the end of the image; page-aligned */
    uint32_t size;        /* of the file */
    uint32_t image_size, base;
    const uint8_t *note; /* what mm says of it (loader/mm/section.h) */
    uint32_t note_size;
    const void *const *bound; /* the gate, once more, in a program that is bound; else NULL */
    uint32_t pointers;        /* RVA of the pointer table: the gate, then the functions */
    uint32_t function_count, data_count;
    const struct ldr_row_ref *functions;
    const struct ldr_prepared_data *data;
};

struct ldr_builtin {
    const char *name;        /* "KERNEL32.dll", in Windows's spelling */
    uint64_t preferred_base; /* below 2 GiB, 64 KiB aligned; 0 = ldr chooses */
    const struct ldr_builtin_family *families;
    size_t family_count;
    const char *const *names; /* every name that Windows exports, sorted by strcmp; may be NULL */
    size_t name_count;
    /* Called under the loader lock, any number of times, before families and names are looked at;
     * NULL = they are there already. With a prepared image nobody looks. */
    void (*complete)(void);
    const struct ldr_prepared *prepared; /* NULL = the image is written from the tables */
    const struct ldr_builtin_export *(*row)(struct ldr_row_ref ref); /* for the prepared image */
    /* Called once after the image is mapped and DATA locations are filled, before anyone uses it.
     */
    void (*attach)(void);
    /* Called at process exit in reverse order of attach, after every image's DLL_PROCESS_DETACH. */
    void (*detach)(void);
};

/* The struct and everything it points to must live as long as the process. Later registrations of
 * the same name replace earlier ones unless the module is loaded already
 * (STATUS_OBJECT_NAME_COLLISION). */
nt_status ldr_builtin_register(const struct ldr_builtin *builtin);

/* Has the builtin complete its families and names. */
void ldr_builtin_complete(const struct ldr_builtin *builtin);

/* Called by a trap; must not return. Set by ke/. */
typedef void (*ldr_trap_handler)(const char *module, const char *name);
void ldr_set_trap_handler(ldr_trap_handler handler);

#endif
