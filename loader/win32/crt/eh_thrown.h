/*
 * Thrown objects: what an exception record says of one, which catch blocks take it, how it gets
 * into their variables and how it ends.
 *
 * Source of the layouts (ThrowInfo, CatchableTypeArray, CatchableType, PMD): Microsoft's ehdata.h.
 */
#ifndef WIN32_CRT_EH_THROWN_H
#define WIN32_CRT_EH_THROWN_H

#include "loader/ke/exception.h"
#include "loader/win32/crt/eh_table.h"

#define EH_CODE 0xE06D7363u /* "msc" */

struct eh_displacement {          /* PMD: where a base class lies in an object */
    int32_t member, table, index; /* table < 0: no virtual base */
};

enum eh_type_property {
    EH_SIMPLE = 1, /* copied as bytes; a pointer is adjusted */
    EH_REFERENCE_ONLY = 2,
    EH_VIRTUAL_BASE = 4, /* the copy constructor has one more argument */
    EH_BAD_ALLOC = 0x10,
};

struct eh_type { /* one type that a thrown object can be caught as */
    uint32_t properties;
    uint32_t descriptor;
    struct eh_displacement where;
    uint32_t size;
    uint32_t copy; /* 0 = as bytes */
};

struct eh_thrown {
    void *object;
    struct eh_image image; /* that threw it */
    uint32_t attributes;   /* EH_IS_CONST, EH_IS_VOLATILE, EH_IS_UNALIGNED */
    uint32_t destructor;
    uint32_t types, type_map;
};

/* Whether a record is an exception of Visual C++'s, "throw;" included. */
bool eh_is_cxx(const struct ke_exception_record *record);
/* "throw;": there is no object in the record. */
bool eh_is_rethrow(const struct ke_exception_record *record);
/* False when the record's tables make no sense; only catch (...) takes such an exception. */
bool eh_thrown_of(const struct ke_exception_record *record, struct eh_thrown *out);
bool eh_thrown_type(const struct eh_thrown *thrown, uint32_t index, struct eh_type *out);

/* Whether a catch block of an image takes the object; `*as` is the type that it takes it as. */
bool eh_matches(const struct eh_image *image, const struct eh_catch *block,
                const struct eh_thrown *thrown, struct eh_type *as);
/* The name of a type in an image; NULL: not inside. "" is the type of catch (...). */
const char *eh_type_name(const struct eh_image *image, uint32_t descriptor);

void *eh_adjust(void *object, const struct eh_displacement *where);
/* Fills the variable of a catch block. May run the image's copy constructor. */
void eh_build(void *variable, uint32_t adjectives, const struct eh_thrown *thrown,
              const struct eh_type *as);
/* Runs the object's destructor, if it has one. */
void eh_destroy(const struct ke_exception_record *record);

/* A member function of an image. */
#if defined(__x86_64__)
#define EH_THISCALL WINCDECL
#else
#define EH_THISCALL __attribute__((thiscall))
#endif
typedef void(EH_THISCALL *eh_destructor)(void *object);

#endif
