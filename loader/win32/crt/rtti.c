/*
 * Run-time type information of Visual C++ classes: typeid, dynamic_cast, and the cast to the most
 * derived object.
 *
 * Before a class's table of virtual functions lies a pointer to its complete object locator, which
 * names the type and its base classes. On x86-64 the pointers in these records are offsets from the
 * image, which the locator's own offset gives. Where the C++ rules ask for an exception (a failed
 * cast to a reference, typeid of a null pointer) the process ends: there is no throwing here yet.
 */
#include <stdlib.h>

#include "loader/win32/crt/internal.h"
#include "loader/win32/crt/startup.h"

#if defined(__x86_64__)
typedef uint32_t record_pointer; /* from the image's base */
#else
typedef const void *record_pointer;
#endif

struct member_displacement { /* PMD: where a base class lies in the object */
    int32_t member, table, index;
};

struct base_class {
    record_pointer type;
    uint32_t contained; /* base classes of this one, which follow it in the array */
    struct member_displacement where;
    uint32_t attributes; /* 1 not visible, 2 ambiguous, 4 private */
};

struct hierarchy {
    uint32_t signature, attributes, count;
    record_pointer bases;
};

struct locator {
    uint32_t signature; /* 1 = x86-64 */
    uint32_t offset;    /* of this table of virtual functions in the complete object */
    uint32_t constructor_offset;
    record_pointer type, hierarchy;
#if defined(__x86_64__)
    uint32_t self;
#endif
};

enum { NOT_VISIBLE = 1, AMBIGUOUS = 2 };

static const struct locator *locator_of(const void *object)
{
    const struct locator *const *table = *(const struct locator *const *const *)object;
    return table[-1];
}

static const void *resolve(const struct locator *locator, record_pointer pointer)
{
#if defined(__x86_64__)
    return (const char *)locator - locator->self + pointer;
#else
    return pointer;
#endif
}

/* type_info objects of one type may lie in several modules: the names decide. */
static bool same_type(const void *a, const void *b)
{
    const size_t name_at = 2 * sizeof(void *);
    return a == b || strcmp((const char *)a + name_at, (const char *)b + name_at) == 0;
}

static char *complete_object(const void *object, const struct locator *locator)
{
    char *start = (char *)object - locator->offset;
    if (locator->constructor_offset != 0) { /* under construction: a virtual base has moved */
        int32_t moved;
        memcpy(&moved, (const char *)object - locator->constructor_offset, sizeof(moved));
        start -= moved;
    }
    return start;
}

static char *base_in(char *complete, const struct member_displacement *where)
{
    char *base = complete + where->member;
    if (where->table >= 0) {
        const char *table = *(const char *const *)(complete + where->table);
        int32_t offset;
        memcpy(&offset, table + where->index, sizeof(offset));
        base += where->table + offset;
    }
    return base;
}

struct search {
    const struct locator *locator;
    const struct hierarchy *hierarchy;
    char *complete;
};

static const struct base_class *base_at(const struct search *s, uint32_t index)
{
    const record_pointer *bases = resolve(s->locator, s->hierarchy->bases);
    return resolve(s->locator, bases[index]);
}

/*
 * The sub-object of type `target`: one that holds the source sub-object (a down-cast), else the
 * only public one in the complete object (a cross-cast).
 */
static void *find_target(const struct search *s, const char *source_at, const void *source,
                         const void *target)
{
    char *found = NULL;
    for (uint32_t i = 0; i < s->hierarchy->count; i++) {
        const struct base_class *base = base_at(s, i);
        if (!same_type(resolve(s->locator, base->type), target) || base->attributes & NOT_VISIBLE) {
            continue;
        }
        char *at = base_in(s->complete, &base->where);
        for (uint32_t k = i; k <= i + base->contained && k < s->hierarchy->count; k++) {
            const struct base_class *inner = base_at(s, k);
            if (same_type(resolve(s->locator, inner->type), source) &&
                base_in(s->complete, &inner->where) == source_at) {
                return at;
            }
        }
        if (!(base->attributes & AMBIGUOUS)) {
            found = at;
        }
    }
    return found;
}

/* `object` is where the table of virtual functions is, `table_offset` behind the source sub-object.
 */
static WINCDECL_DEF void *crt___RTDynamicCast(void *object, int32_t table_offset,
                                              const void *source, const void *target,
                                              int is_reference)
{
    if (object == NULL) {
        return NULL;
    }
    const struct locator *locator = locator_of(object);
    struct search s = {locator, resolve(locator, locator->hierarchy),
                       complete_object(object, locator)};
    void *found = find_target(&s, (char *)object - table_offset, source, target);
    if (found == NULL && is_reference) {
        crt_abort();
    }
    return found;
}

static WINCDECL_DEF const void *crt___RTtypeid(const void *object)
{
    if (object == NULL) {
        crt_abort();
    }
    const struct locator *locator = locator_of(object);
    return resolve(locator, locator->type);
}

static WINCDECL_DEF void *crt___RTCastToVoid(void *object)
{
    return object != NULL ? complete_object(object, locator_of(object)) : NULL;
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(__RTDynamicCast),
    CRT_FN(__RTtypeid),
    CRT_FN(__RTCastToVoid),
};
CRT_FAMILY(crt_rtti_family, functions);
