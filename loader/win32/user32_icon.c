/*
 * USER32.dll: finding icons in an image (Microsoft, "Icons in Win32"; GRPICONDIR).
 *
 * A group resource lists pictures of one icon by size and colours; each is a resource of its own
 * that the group names by id. Nothing is drawn here, so the handle of an icon is all there is of
 * it: the same one for the same picture, as LoadIcon's are shared.
 */
#include <pthread.h>
#include <stdlib.h>

#include "loader/win32/errors.h"
#include "loader/win32/resource.h"
#include "loader/win32/smalldlls.h"
#include "loader/win32/strings.h"
#include "pe/span.h"

#define RT_ICON       ((const WCHAR *)(uintptr_t)3)
#define RT_GROUP_ICON ((const WCHAR *)(uintptr_t)14)

enum {
    HEADER_SIZE = 6,
    ENTRY_SIZE = 14,
    TYPE_ICON = 1,
    LARGEST = 256,     /* what a width or height of 0 in a byte means */
    DEFAULT_SIZE = 32, /* SM_CXICON, SM_CYICON */
    IDI_FIRST = 32512,
    IDI_LAST = 32518, /* the system's own, which every process has */
};

/* ---- which picture ---- */

struct picture {
    int width, height, bits;
    uint16_t id;
};

static bool read_picture(struct pe_span group, unsigned i, bool icon, struct picture *out)
{
    uint64_t at = HEADER_SIZE + (uint64_t)i * ENTRY_SIZE;
    uint16_t size[2] = {0}, bits;
    uint8_t side[2];
    if (!pe_u16(group, at + 6, &bits) || !pe_u16(group, at + 12, &out->id))
        return false;
    for (unsigned axis = 0; axis < 2; axis++) {
        bool ok =
            icon ? pe_u8(group, at + axis, &side[axis]) : pe_u16(group, at + 2 * axis, &size[axis]);
        if (!ok)
            return false;
        if (icon)
            size[axis] = side[axis] ? side[axis] : LARGEST;
    }
    out->width = size[0];
    out->height = icon ? size[1] : size[1] / 2; /* a cursor's counts its mask */
    out->bits = bits;
    return true;
}

static int distance(const struct picture *p, int width, int height)
{
    int x = p->width - width, y = p->height - height;
    return (x < 0 ? -x : x) + (y < 0 ? -y : y);
}

/* The nearest in size, of those the one with most colours; 0 = the group is empty or none. */
static uint16_t choose(struct pe_span group, bool icon, int width, int height)
{
    uint16_t type = 0, count = 0;
    struct picture p, best = {0};
    if (!pe_u16(group, 2, &type) || (type == TYPE_ICON) != icon || !pe_u16(group, 4, &count))
        return 0;
    for (unsigned i = 0; i < count && read_picture(group, i, icon, &p); i++) {
        int more = distance(&p, width, height) - distance(&best, width, height);
        if (i == 0 || more < 0 || (more == 0 && p.bits > best.bits))
            best = p;
    }
    return best.id;
}

/* How long the caller's group is, nobody says: as long as its own count does. */
static struct pe_span group_at(const BYTE *bytes)
{
    uint16_t count = 0;
    pe_u16((struct pe_span){bytes, HEADER_SIZE}, 4, &count);
    return (struct pe_span){bytes, HEADER_SIZE + (uint64_t)count * ENTRY_SIZE};
}

static INT WINAPI_DEF u32_LookupIconIdFromDirectoryEx(const BYTE *bytes, BOOL icon, INT width,
                                                      INT height, UINT flags)
{
    if (!bytes)
        return 0;
    return choose(group_at(bytes), icon, width ? width : DEFAULT_SIZE,
                  height ? height : DEFAULT_SIZE);
}

static INT WINAPI_DEF u32_LookupIconIdFromDirectory(const BYTE *bytes, BOOL icon)
{
    return u32_LookupIconIdFromDirectoryEx(bytes, icon, 0, 0, 0);
}

/* ---- handles ---- */

#define MAX_ICONS 256
/* What a handle stands for: the resource of a picture, or the id of one of the system's icons. */
static const void *icons[MAX_ICONS];
static unsigned icon_count;
static pthread_mutex_t icon_lock = PTHREAD_MUTEX_INITIALIZER;

static HANDLE handle_of(const void *picture)
{
    pthread_mutex_lock(&icon_lock);
    unsigned i = 0;
    while (i < icon_count && icons[i] != picture)
        i++;
    if (i == icon_count && i < MAX_ICONS)
        icons[icon_count++] = picture;
    pthread_mutex_unlock(&icon_lock);
    return i < MAX_ICONS ? (HANDLE)(uintptr_t)(0x10003 + 2 * i)
                         : win32_fail_null(ERROR_NOT_ENOUGH_MEMORY);
}

static HANDLE load_icon(HMODULE module, const WCHAR *name)
{
    HRSRC group, picture;
    uint32_t size = 0;
    uintptr_t number = (uintptr_t)name;
    if (!module)
        return number >= IDI_FIRST && number <= IDI_LAST
                   ? handle_of(name)
                   : win32_fail_null(ERROR_RESOURCE_NAME_NOT_FOUND);
    if (!win32_result(win32_resource_find(module, RT_GROUP_ICON, name, 0, &group)))
        return NULL;
    const uint8_t *bytes = win32_resource_data(module, group, &size);
    struct pe_span span = {bytes, bytes ? size : 0};
    const WCHAR *id = (const WCHAR *)(uintptr_t)choose(span, true, DEFAULT_SIZE, DEFAULT_SIZE);
    if (!win32_result(win32_resource_find(module, RT_ICON, id, 0, &picture)))
        return NULL;
    return win32_resource_data(module, picture, &size)
               ? handle_of(picture)
               : win32_fail_null(ERROR_RESOURCE_DATA_NOT_FOUND);
}

static HANDLE WINAPI_DEF u32_LoadIconW(HMODULE module, const WCHAR *name)
{
    return load_icon(module, name);
}

static HANDLE WINAPI_DEF u32_LoadIconA(HMODULE module, const char *name)
{
    WCHAR *wide = (WCHAR *)name;
    bool text = (uintptr_t)name > 0xFFFF;
    if (text && !win32_widen(name, &wide))
        return NULL;
    HANDLE icon = load_icon(module, wide);
    if (text)
        free(wide);
    return icon;
}

const struct ldr_builtin_export user32_icon_exports[] = {
    LDR_FN(u32_, LoadIconA),
    LDR_FN(u32_, LoadIconW),
    LDR_FN(u32_, LookupIconIdFromDirectory),
    LDR_FN(u32_, LookupIconIdFromDirectoryEx),
};
const size_t user32_icon_count = sizeof(user32_icon_exports) / sizeof(*user32_icon_exports);
