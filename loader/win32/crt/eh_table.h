/*
 * What a C++ function of Visual C++'s compilers says about its try blocks and its clean-up.
 *
 * Code of a function is in a numbered state at every point; -1 is outside of everything. Each state
 * has the state that encloses it and what to do when it is left by an exception. A try block covers
 * the states low to high, its catch blocks those above up to catch_high. Two encodings hold this:
 * version 3 (FuncInfo: fixed records, eh_v3.c) and on x86-64 version 4 (FuncInfo4: variable-length
 * integers, eh_v4.c).
 *
 * Sources: the layout as Microsoft's ehdata.h and ehdata4_export.h document it, the output of
 * clang's --target=*-windows-msvc.
 *
 * Tables are untrusted: every read is checked against the image that they lie in, and every reader
 * returns false where they make no sense. Offsets are from the start of the image (RVAs) in both
 * word sizes; what i386 has as pointers is converted when it is read.
 */
#ifndef WIN32_CRT_EH_TABLE_H
#define WIN32_CRT_EH_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "pe/span.h"

struct eh_image {
    uintptr_t base;
    struct pe_span bytes;
};

/* The image that an address lies in; false: none. */
bool eh_image_at(uintptr_t address, struct eh_image *out);
/* A reference inside an image, an RVA on x86-64 and a pointer on i386; 0 stays 0. */
bool eh_reference(const struct eh_image *image, uint64_t at, uint32_t *offset);
/* `count` records of `size` bytes lie inside at `offset`. */
bool eh_holds(const struct eh_image *image, uint32_t offset, uint64_t count, uint32_t size);

enum {
    EH_NO_STATE = -1,
    EH_MAGIC = 0x19930520, /* ..22: the versions that the fixed records had */
};

enum eh_function_flag {
    EH_SYNCHRONOUS = 1, /* /EHs: only C++ exceptions concern this function */
    EH_NOEXCEPT = 4,
    EH_CATCH = 0x100, /* version 4: this is a catch block, which has states of its own */
};

struct eh_format;
struct eh_function {
    struct eh_image image;
    const struct eh_format *format;
    uint32_t start; /* of the function or the part of it that runs */
    uint32_t flags;
    uint32_t states, unwind_map;
    uint32_t tries, try_map;
    uint32_t points, point_map; /* places where the state changes */
    int32_t parent_frame;       /* EH_CATCH: where its frame holds its function's frame */
};

struct eh_try {
    int32_t low, high, catch_high;
    uint32_t catches, catch_map;
};

enum eh_adjective {
    EH_IS_CONST = 1,
    EH_IS_VOLATILE = 2,
    EH_IS_UNALIGNED = 4,
    EH_IS_REFERENCE = 8,
    EH_IS_STANDARD_DOTS = 0x40, /* catch (...) for C++ exceptions only */
    EH_IS_BAD_ALLOC = 0x80,     /* catch (std::bad_alloc) for all allocation failures */
};

struct eh_catch {
    uint32_t adjectives;
    uint32_t type;        /* TypeDescriptor; 0 = catch (...) */
    int32_t object;       /* where the frame holds the variable; 0 = it has none */
    uint32_t code;        /* the catch block */
    int32_t parent_frame; /* version 3: where the block's frame holds its function's frame */
    uint32_t next_count, next[2]; /* version 4: where to go on, by the block's return value */
};

enum eh_action_kind {
    EH_NOTHING,
    EH_DESTROY,         /* code is a destructor, the object lies in the frame */
    EH_DESTROY_POINTED, /* the same, a pointer to the object lies in the frame */
    EH_RUN,             /* code runs on the frame */
};

struct eh_action {
    int32_t to; /* the enclosing state, always a lower one */
    enum eh_action_kind kind;
    uint32_t code;
    uint32_t object;
};

/* Readers of one encoding. `*at` is a place in a map, moved on by each read. */
struct eh_format {
    bool (*next_try)(const struct eh_function *f, uint32_t *at, struct eh_try *out);
    bool (*next_catch)(const struct eh_function *f, uint32_t *at, struct eh_catch *out);
    bool (*action)(const struct eh_function *f, int32_t state, struct eh_action *out);
    bool (*state_at)(const struct eh_function *f, uint32_t pc, int32_t *out);
};

bool eh_open_v3(const struct eh_image *image, uint32_t info, struct eh_function *out);
/* `start`: of the function or its separate part, as the function table has it. */
bool eh_open_v4(const struct eh_image *image, uint32_t info, uint32_t start,
                struct eh_function *out);

/* The version 4 integer: 1 to 5 bytes, by the number of low bits set. */
bool eh_read_packed(const struct eh_image *image, uint32_t *at, uint32_t *out);

#endif
