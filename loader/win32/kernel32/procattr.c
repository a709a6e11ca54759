/*
 * Attribute lists for CreateProcess (InitializeProcThreadAttributeList and its relatives).
 *
 * As on Windows the list keeps the pointers that it is given, not what they point to.
 */
#include <string.h>

#include "loader/win32/createprocess.h"
#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"

struct attribute {
    DWORD_PTR number;
    const void *value;
    SIZE_T size;
};

struct attribute_list {
    DWORD capacity, count;
    struct attribute attributes[];
};

enum { REPLACE_VALUE = 1 };

/* Those that can be given; `size` 0 = any multiple of a handle's. */
static const struct {
    DWORD_PTR number;
    SIZE_T size;
} known[] = {
    {ATTRIBUTE_PARENT_PROCESS, sizeof(HANDLE)},
    {ATTRIBUTE_HANDLE_LIST, 0},
    {0x2000D, 0},                  /* JOB_LIST */
    {0x30003, sizeof(void *) + 8}, /* GROUP_AFFINITY */
    {0x30005, 4},                  /* IDEAL_PROCESSOR */
    {0x20007, 4},                  /* MITIGATION_POLICY */
    {0x20007, 8},                  /* the same, in its longer forms */
    {0x20007, 16},
    {0x2000E, 4}, /* CHILD_PROCESS_POLICY */
};

static uint32_t check_attribute(DWORD_PTR number, SIZE_T size)
{
    uint32_t error = ERROR_NOT_SUPPORTED;
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
        if (known[i].number != number)
            continue;
        bool fits = known[i].size ? size == known[i].size : size && size % sizeof(HANDLE) == 0;
        if (fits)
            return ERROR_SUCCESS;
        error = ERROR_BAD_LENGTH;
    }
    return error;
}

static BOOL WINAPI_DEF k32_InitializeProcThreadAttributeList(struct attribute_list *list,
                                                             DWORD count, DWORD flags, SIZE_T *size)
{
    SIZE_T needed = sizeof(*list) + count * sizeof(list->attributes[0]);
    if (flags || count > 0xFFFF)
        return win32_fail(ERROR_INVALID_PARAMETER);
    SIZE_T room = *size;
    *size = needed;
    if (!list || room < needed)
        return win32_fail(ERROR_INSUFFICIENT_BUFFER);
    list->capacity = count;
    list->count = 0;
    return TRUE;
}

static BOOL WINAPI_DEF k32_UpdateProcThreadAttribute(struct attribute_list *list, DWORD flags,
                                                     DWORD_PTR number, const void *value,
                                                     SIZE_T size, void *previous, SIZE_T *returned)
{
    if (!list || (flags & ~(DWORD)REPLACE_VALUE))
        return win32_fail(ERROR_INVALID_PARAMETER);
    uint32_t error = check_attribute(number, size);
    if (error)
        return win32_fail(error);
    struct attribute *to = NULL;
    for (DWORD i = 0; i < list->count; i++) {
        if (list->attributes[i].number == number)
            to = &list->attributes[i];
    }
    if (to && !(flags & REPLACE_VALUE))
        return win32_fail(ERROR_OBJECT_NAME_EXISTS);
    if (!to && list->count == list->capacity)
        return win32_fail(ERROR_GEN_FAILURE);
    if (!to)
        to = &list->attributes[list->count++];
    *to = (struct attribute){number, value, size};
    return TRUE;
}

static void WINAPI_DEF k32_DeleteProcThreadAttributeList(struct attribute_list *list)
{
    if (list)
        list->count = 0;
}

bool win32_attribute(const struct attribute_list *list, DWORD_PTR number, const void **value,
                     SIZE_T *size)
{
    for (DWORD i = 0; list && i < list->count; i++) {
        if (list->attributes[i].number == number) {
            *value = list->attributes[i].value;
            *size = list->attributes[i].size;
            return true;
        }
    }
    return false;
}

const struct ldr_builtin_export kernel32_procattr_exports[] = {
    LDR_FN(k32_, InitializeProcThreadAttributeList),
    LDR_FN(k32_, UpdateProcThreadAttribute),
    LDR_FN(k32_, DeleteProcThreadAttributeList),
};
const size_t kernel32_procattr_count =
    sizeof(kernel32_procattr_exports) / sizeof(*kernel32_procattr_exports);
