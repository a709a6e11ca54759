/*
 * Signatures of `peldr call`: "u32 crc32(u32, str, u32)".
 *
 *     [stdcall|cdecl] RESULT NAME(TYPE, ...)       NAME may be #ORDINAL
 *     TYPE = void i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 ptr str wstr
 *          | buf:N      zeroed buffer of N bytes, printed afterwards; takes no argument
 *          | hex        bytes given in hexadecimal, passed by address
 *          | T*         address of a number T with the given start value, printed afterwards
 */
#ifndef TOOLS_SIGNATURE_H
#define TOOLS_SIGNATURE_H

#include <stdbool.h>
#include <stdint.h>

enum value_kind {
    VALUE_VOID,
    VALUE_SIGNED,
    VALUE_UNSIGNED,
    VALUE_FLOAT,
    VALUE_POINTER,
    VALUE_STR,
    VALUE_WSTR,
    VALUE_HEX,
    VALUE_BUFFER,
};

struct value_type {
    enum value_kind kind;
    uint8_t size;      /* bytes of a number or pointer */
    bool by_address;   /* T* */
    uint32_t capacity; /* buf:N */
};

#define SIGNATURE_MAX_ARGS 32
#define SIGNATURE_MAX_BUF  0x4000000u /* 64 MiB */

struct signature {
    bool is_stdcall; /* i386 only */
    struct value_type result;
    char name[256];
    uint16_t ordinal; /* when name is "#N" */
    bool by_ordinal;
    int count;
    struct value_type args[SIGNATURE_MAX_ARGS];
};

/* False with a sentence in `why` that points at what could not be read. */
bool signature_parse(const char *text, struct signature *out, char *why, unsigned why_size);
/* Arguments that have to be given on the command line. */
int signature_given(const struct signature *signature);

#endif
