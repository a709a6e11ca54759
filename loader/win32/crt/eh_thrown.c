/*
 * Thrown objects (eh_thrown.h).
 */
#include "loader/win32/crt/eh_thrown.h"

#include <string.h>

#include "loader/win32/crt/eh_state.h"

typedef void(EH_THISCALL *copy_constructor)(void *to, const void *from);
typedef void(EH_THISCALL *copy_constructor_virtual)(void *to, const void *from, int complete);

enum parameter { PARAMETER_MAGIC, PARAMETER_OBJECT, PARAMETER_INFO, PARAMETER_BASE };
enum { PARAMETERS = KE_BY_WORD(4, 3), TYPE_SIZE = 28, NAME_AT = 2 * sizeof(void *) };

bool eh_is_cxx(const struct ke_exception_record *record)
{
    uintptr_t magic = record->ExceptionInformation[PARAMETER_MAGIC];
    return record->ExceptionCode == EH_CODE && record->NumberParameters == PARAMETERS &&
           magic >= EH_MAGIC && magic <= EH_MAGIC + 2;
}

bool eh_is_rethrow(const struct ke_exception_record *record)
{
    return eh_is_cxx(record) && record->ExceptionInformation[PARAMETER_INFO] == 0;
}

static bool throwing_image(const struct ke_exception_record *record, struct eh_image *out)
{
#if defined(__x86_64__)
    uintptr_t base = record->ExceptionInformation[PARAMETER_BASE];
    return eh_image_at(base, out) && out->base == base;
#else
    return eh_image_at(record->ExceptionInformation[PARAMETER_INFO], out);
#endif
}

bool eh_thrown_of(const struct ke_exception_record *record, struct eh_thrown *out)
{
    uint32_t list;
    if (!eh_is_cxx(record) || eh_is_rethrow(record) || !throwing_image(record, &out->image)) {
        return false;
    }
    out->object = (void *)record->ExceptionInformation[PARAMETER_OBJECT];
    uint64_t info = record->ExceptionInformation[PARAMETER_INFO] - out->image.base;
    if (out->object == NULL || info > out->image.bytes.size ||
        !pe_u32(out->image.bytes, info, &out->attributes) ||
        !eh_reference(&out->image, info + 4, &out->destructor) ||
        !eh_reference(&out->image, info + 12, &list) ||
        !pe_u32(out->image.bytes, list, &out->types)) {
        return false;
    }
    out->type_map = list + 4;
    return eh_holds(&out->image, out->type_map, out->types, 4);
}

bool eh_thrown_type(const struct eh_thrown *thrown, uint32_t index, struct eh_type *out)
{
    const struct eh_image *image = &thrown->image;
    uint32_t at, words[TYPE_SIZE / 4];
    if (index >= thrown->types || !eh_reference(image, thrown->type_map + 4ull * index, &at) ||
        pe_copy_some(image->bytes, at, words, sizeof(words)) != sizeof(words)) {
        return false;
    }
    *out = (struct eh_type){
        .properties = words[0],
        .where = {(int32_t)words[2], (int32_t)words[3], (int32_t)words[4]},
        .size = words[5],
    };
    return eh_reference(image, at + 4ull, &out->descriptor) &&
           eh_reference(image, at + 24ull, &out->copy);
}

const char *eh_type_name(const struct eh_image *image, uint32_t descriptor)
{
    enum { LONGEST_NAME = 1 << 16 };
    struct pe_str name;
    if (!pe_cstr(image->bytes, (uint64_t)descriptor + NAME_AT, LONGEST_NAME, &name)) {
        return NULL;
    }
    return name.ptr;
}

/* The object's own qualifiers must all be the catch block's, too: no catch takes constness away. */
static bool type_matches(const char *wanted, uint32_t adjectives, const struct eh_thrown *thrown,
                         const struct eh_type *type)
{
    const uint32_t qualifiers = EH_IS_CONST | EH_IS_VOLATILE | EH_IS_UNALIGNED;
    if ((adjectives & EH_IS_BAD_ALLOC) != 0 && (type->properties & EH_BAD_ALLOC) != 0) {
        return true;
    }
    const char *name = eh_type_name(&thrown->image, type->descriptor);
    uint32_t own = (thrown->attributes & 1 ? EH_IS_CONST : 0u) |
                   (thrown->attributes & 2 ? EH_IS_VOLATILE : 0u) |
                   (thrown->attributes & 4 ? EH_IS_UNALIGNED : 0u);
    return name != NULL && strcmp(name, wanted) == 0 &&
           ((type->properties & EH_REFERENCE_ONLY) == 0 || (adjectives & EH_IS_REFERENCE) != 0) &&
           (own & qualifiers & ~adjectives) == 0;
}

bool eh_matches(const struct eh_image *image, const struct eh_catch *block,
                const struct eh_thrown *thrown, struct eh_type *as)
{
    const char *wanted = block->type != 0 ? eh_type_name(image, block->type) : "";
    *as = (struct eh_type){0};
    if (wanted == NULL) {
        return false;
    }
    if (*wanted == 0) {
        return true;
    }
    for (uint32_t i = 0; i < thrown->types; i++) {
        if (eh_thrown_type(thrown, i, as) && type_matches(wanted, block->adjectives, thrown, as)) {
            return true;
        }
    }
    return false;
}

void *eh_adjust(void *object, const struct eh_displacement *where)
{
    char *base = (char *)object + where->member;
    if (where->table >= 0) {
        const char *table;
        int32_t offset;
        memcpy(&table, (const char *)object + where->table, sizeof(table));
        memcpy(&offset, table + where->index, sizeof(offset));
        base += where->table + offset;
    }
    return base;
}

static void build_simple(void *variable, const struct eh_thrown *thrown, const struct eh_type *as)
{
    void *pointer;
    memmove(variable, thrown->object, as->size);
    if (as->size == sizeof(pointer)) {
        memcpy(&pointer, variable, sizeof(pointer));
        pointer = pointer != NULL ? eh_adjust(pointer, &as->where) : NULL;
        memcpy(variable, &pointer, sizeof(pointer));
    }
}

void eh_build(void *variable, uint32_t adjectives, const struct eh_thrown *thrown,
              const struct eh_type *as)
{
    uintptr_t code = thrown->image.base + as->copy;
    if ((adjectives & EH_IS_REFERENCE) != 0) {
        *(void **)variable = eh_adjust(thrown->object, &as->where);
    } else if ((as->properties & EH_SIMPLE) != 0) {
        build_simple(variable, thrown, as);
    } else if (as->copy == 0) {
        memmove(variable, eh_adjust(thrown->object, &as->where), as->size);
    } else if ((as->properties & EH_VIRTUAL_BASE) != 0) {
        ((copy_constructor_virtual)code)(variable, eh_adjust(thrown->object, &as->where), 1);
    } else {
        ((copy_constructor)code)(variable, eh_adjust(thrown->object, &as->where));
    }
}

void eh_destroy(const struct ke_exception_record *record)
{
    struct eh_thrown thrown;
    if (eh_thrown_of(record, &thrown) && thrown.destructor != 0) {
        struct eh_record guard;
        eh_enter_fence(&guard);
        ((eh_destructor)(thrown.image.base + thrown.destructor))(thrown.object);
        eh_leave(&guard);
    }
}
