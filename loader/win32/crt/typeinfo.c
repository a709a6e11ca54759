/*
 * C++ support that needs no unwinding: type_info names and comparison, copies of std::exception's
 * text.
 *
 * A type name looks like ".?AVbar@foo@@": kind (V class, U struct, T union, W4 enum), then the
 * scopes from the inside out. Templates and other rarities are shown as they are.
 */
#include <stdio.h>
#include <stdlib.h>

#include "loader/win32/crt/internal.h"

/* __std_type_info_data; `undecorated` is made at the first request and freed with the list. */
struct type_data {
    char *undecorated;
    char decorated[1];
};

/* What images pass as the list's head (SLIST_HEADER); only its first pointer is used here. */
struct name_node {
    struct name_node *next;
    char text[];
};

static const char *kind_of(const char **name)
{
    static const struct {
        const char *code, *text;
    } kinds[] = {{".?AV", "class "}, {".?AU", "struct "}, {".?AT", "union "}, {".?AW4", "enum "}};
    for (size_t i = 0; i < CRT_COUNT(kinds); i++) {
        size_t length = strlen(kinds[i].code);
        if (strncmp(*name, kinds[i].code, length) == 0) {
            *name += length;
            return kinds[i].text;
        }
    }
    return NULL;
}

/* "bar@foo@@" -> "foo::bar" appended to `out`. False for what is not as simple as that. */
static bool put_scopes(const char *name, char *out, size_t room)
{
    size_t length = strlen(name);
    if (length < 3 || strcmp(name + length - 2, "@@") != 0 || strpbrk(name, "?$`") != NULL) {
        return false;
    }
    size_t used = 0;
    for (size_t end = length - 2; end > 0;) {
        size_t start = end;
        while (start > 0 && name[start - 1] != '@') {
            start--;
        }
        int n = snprintf(out + used, room - used, "%s%.*s", used != 0 ? "::" : "",
                         (int)(end - start), name + start);
        if (n < 0 || (size_t)n >= room - used) {
            return false;
        }
        used += (size_t)n;
        end = start != 0 ? start - 1 : 0;
    }
    return true;
}

static struct name_node *make_name(const char *decorated)
{
    const char *name = decorated;
    const char *kind = kind_of(&name);
    size_t room = 2 * strlen(decorated) + 16;
    struct name_node *node = crt_heap_alloc(sizeof(*node) + room);
    if (node == NULL) {
        return NULL;
    }
    size_t used = (size_t)snprintf(node->text, room, "%s", kind != NULL ? kind : "");
    if (kind == NULL || !put_scopes(name, node->text + used, room - used)) {
        snprintf(node->text, room, "%s", decorated);
    }
    return node;
}

static WINCDECL_DEF const char *crt___std_type_info_name(struct type_data *type,
                                                         struct name_node **list)
{
    char *known = __atomic_load_n(&type->undecorated, __ATOMIC_ACQUIRE);
    if (known != NULL) {
        return known;
    }
    struct name_node *node = make_name(type->decorated);
    if (node == NULL) {
        return NULL;
    }
    if (!__atomic_compare_exchange_n(&type->undecorated, &known, node->text, false,
                                     __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        crt_heap_free(node);
        return known;
    }
    struct name_node *head = __atomic_load_n(list, __ATOMIC_ACQUIRE);
    do {
        node->next = head;
    } while (
        !__atomic_compare_exchange_n(list, &head, node, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    return node->text;
}

static WINCDECL_DEF void crt___std_type_info_destroy_list(struct name_node **list)
{
    struct name_node *node = __atomic_exchange_n(list, NULL, __ATOMIC_ACQ_REL);
    while (node != NULL) {
        struct name_node *next = node->next;
        crt_heap_free(node);
        node = next;
    }
}

static WINCDECL_DEF int crt___std_type_info_compare(const struct type_data *a,
                                                    const struct type_data *b)
{
    return a == b ? 0 : strcmp(a->decorated + 1, b->decorated + 1);
}

/* FNV-1a over the name, folded as the word size asks. */
static WINCDECL_DEF size_t crt___std_type_info_hash(const struct type_data *type)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (const char *c = type->decorated + 1; *c != 0; c++) {
        hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
    }
    return sizeof(size_t) == 8 ? (size_t)hash : (size_t)(hash ^ hash >> 32);
}

/* ---- std::exception's text
 * -------------------------------------------------------------------------------- */

struct exception_data {
    const char *what;
    bool owned;
};

static WINCDECL_DEF void crt___std_exception_copy(const struct exception_data *from,
                                                  struct exception_data *to)
{
    *to = *from;
    if (from->owned && from->what != NULL) {
        to->what = crt_heap_copy(from->what, strlen(from->what) + 1);
        to->owned = to->what != NULL;
    }
}

static WINCDECL_DEF void crt___std_exception_destroy(struct exception_data *data)
{
    if (data->owned) {
        crt_heap_free((void *)data->what);
    }
    *data = (struct exception_data){0};
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(__std_type_info_name),    CRT_FN(__std_type_info_destroy_list),
    CRT_FN(__std_type_info_compare), CRT_FN(__std_type_info_hash),
    CRT_FN(__std_exception_copy),    CRT_FN(__std_exception_destroy),
};
CRT_FAMILY(crt_typeinfo_family, functions);
