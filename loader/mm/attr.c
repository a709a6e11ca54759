/*
 * Page attribute bytes: packing and unpacking (attr.h).
 */
#include "loader/mm/attr.h"

#include <sys/mman.h>

static const uint32_t modifiers[4] = {0, PAGE_GUARD, PAGE_NOCACHE, PAGE_WRITECOMBINE};

uint8_t mm_attr_make(uint32_t protect, uint8_t flags)
{
    uint32_t modifier = 0;

    for (uint32_t i = 1; i < 4; i++)
        if (protect & modifiers[i])
            modifier = i;
    return (uint8_t)((unsigned)__builtin_ctz(protect & 0xFF) | MM_ATTR_COMMITTED | modifier << 5 |
                     flags);
}

uint32_t mm_attr_protect(uint8_t attr)
{
    if (!(attr & MM_ATTR_COMMITTED))
        return 0;
    return 1u << (attr & MM_ATTR_BASE) | modifiers[(attr & MM_ATTR_MODIFIER) >> 5];
}

int mm_attr_prot(uint8_t attr)
{
    return attr & MM_ATTR_COMMITTED ? mm_prot_of_protect(mm_attr_protect(attr)) : PROT_NONE;
}
