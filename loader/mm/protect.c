/*
 * The tables between NT's page protections and the host's (facts 1.1, 1.4).
 *
 * PAGE_EXECUTE becomes PROT_READ | PROT_EXEC: with protection keys Linux can make PROT_EXEC alone
 * execute-only, and images made for Windows read their code pages. The record still says
 * PAGE_EXECUTE.
 */
#include "loader/mm/protect.h"

#include <sys/mman.h>

#include "pe/image.h"

#define MODIFIERS (PAGE_GUARD | PAGE_NOCACHE | PAGE_WRITECOMBINE)

/* What a data section or a view of one has to grant. */
enum { CAN_READ = 1, CAN_WRITE = 2, CAN_EXECUTE = 4, CAN_COPY = 8 };
#define CAN_ALL (CAN_READ | CAN_WRITE | CAN_EXECUTE | CAN_COPY)

/* One row a base protection, in the order of their bits. */
static const struct {
    int prot;
    /* Windows counts the right to copy only where code is executable: PAGE_WRITECOPY takes no more
     * than reading, PAGE_EXECUTE_WRITECOPY more than PAGE_EXECUTE_READ grants. */
    unsigned can;
    uint32_t after_write; /* of the page's private copy */
    uint32_t for_image;   /* what VirtualProtect stores for a private image page */
} table[8] = {
    {PROT_NONE, 0, PAGE_NOACCESS, PAGE_NOACCESS},
    {PROT_READ, CAN_READ, PAGE_READONLY, PAGE_READONLY},
    {PROT_READ | PROT_WRITE, CAN_READ | CAN_WRITE, PAGE_READWRITE, PAGE_WRITECOPY},
    {PROT_READ | PROT_WRITE, CAN_READ, PAGE_READWRITE, PAGE_WRITECOPY},
    {PROT_READ | PROT_EXEC, CAN_READ | CAN_EXECUTE, PAGE_EXECUTE, PAGE_EXECUTE},
    {PROT_READ | PROT_EXEC, CAN_READ | CAN_EXECUTE, PAGE_EXECUTE_READ, PAGE_EXECUTE_READ},
    {PROT_READ | PROT_WRITE | PROT_EXEC, CAN_ALL, PAGE_EXECUTE_READWRITE, PAGE_EXECUTE_WRITECOPY},
    {PROT_READ | PROT_WRITE | PROT_EXEC, CAN_READ | CAN_EXECUTE | CAN_COPY, PAGE_EXECUTE_READWRITE,
     PAGE_EXECUTE_WRITECOPY},
};

static const char *const names[4][8] = {
    {"PAGE_NOACCESS", "PAGE_READONLY", "PAGE_READWRITE", "PAGE_WRITECOPY", "PAGE_EXECUTE",
     "PAGE_EXECUTE_READ", "PAGE_EXECUTE_READWRITE", "PAGE_EXECUTE_WRITECOPY"},
    {"PAGE_NOACCESS | PAGE_GUARD", "PAGE_READONLY | PAGE_GUARD", "PAGE_READWRITE | PAGE_GUARD",
     "PAGE_WRITECOPY | PAGE_GUARD", "PAGE_EXECUTE | PAGE_GUARD", "PAGE_EXECUTE_READ | PAGE_GUARD",
     "PAGE_EXECUTE_READWRITE | PAGE_GUARD", "PAGE_EXECUTE_WRITECOPY | PAGE_GUARD"},
    {"PAGE_NOACCESS | PAGE_NOCACHE", "PAGE_READONLY | PAGE_NOCACHE",
     "PAGE_READWRITE | PAGE_NOCACHE", "PAGE_WRITECOPY | PAGE_NOCACHE",
     "PAGE_EXECUTE | PAGE_NOCACHE", "PAGE_EXECUTE_READ | PAGE_NOCACHE",
     "PAGE_EXECUTE_READWRITE | PAGE_NOCACHE", "PAGE_EXECUTE_WRITECOPY | PAGE_NOCACHE"},
    {"PAGE_NOACCESS | PAGE_WRITECOMBINE", "PAGE_READONLY | PAGE_WRITECOMBINE",
     "PAGE_READWRITE | PAGE_WRITECOMBINE", "PAGE_WRITECOPY | PAGE_WRITECOMBINE",
     "PAGE_EXECUTE | PAGE_WRITECOMBINE", "PAGE_EXECUTE_READ | PAGE_WRITECOMBINE",
     "PAGE_EXECUTE_READWRITE | PAGE_WRITECOMBINE", "PAGE_EXECUTE_WRITECOPY | PAGE_WRITECOMBINE"},
};

/* Row of the one base protection in `protect`, or -1. */
static int base_index(uint32_t protect)
{
    uint32_t base = protect & 0xFF;

    if (base == 0 || (base & (base - 1)) != 0 || (protect & ~(0xFFu | MODIFIERS)) != 0)
        return -1;
    return __builtin_ctz(base);
}

uint32_t mm_protect_of_section(uint32_t characteristics)
{
    /* Index: execute 4, write 2, read 1. */
    static const uint32_t private_page[8] = {
        PAGE_NOACCESS, PAGE_READONLY,     PAGE_WRITECOPY,         PAGE_WRITECOPY,
        PAGE_EXECUTE,  PAGE_EXECUTE_READ, PAGE_EXECUTE_WRITECOPY, PAGE_EXECUTE_WRITECOPY,
    };
    uint32_t index = (characteristics & IMAGE_SCN_MEM_EXECUTE ? 4u : 0u) |
                     (characteristics & IMAGE_SCN_MEM_WRITE ? 2u : 0u) |
                     (characteristics & IMAGE_SCN_MEM_READ ? 1u : 0u);
    uint32_t protect = private_page[index];

    return characteristics & IMAGE_SCN_MEM_SHARED ? mm_protect_after_write(protect) : protect;
}

int mm_prot_of_protect(uint32_t protect)
{
    int index = base_index(protect);

    if (index < 0)
        return -1;
    return protect & PAGE_GUARD ? PROT_NONE : table[index].prot;
}

bool mm_protect_valid(uint32_t protect)
{
    uint32_t modifiers = protect & MODIFIERS;

    if (base_index(protect) < 0)
        return false;
    /* The modifiers exclude each other, and none goes with PAGE_NOACCESS (Memory Protection
     * Constants). */
    return modifiers == 0 ||
           ((modifiers & (modifiers - 1)) == 0 && (protect & 0xFF) != PAGE_NOACCESS);
}

uint32_t mm_protect_after_write(uint32_t protect)
{
    int index = base_index(protect);

    return index < 0 ? protect : table[index].after_write | (protect & MODIFIERS);
}

uint32_t mm_protect_for_image(uint32_t protect)
{
    int index = base_index(protect);

    return index < 0 ? protect : table[index].for_image | (protect & MODIFIERS);
}

bool mm_protect_allows_view(uint32_t section, uint32_t view)
{
    int has = base_index(section), wants = base_index(view);

    /* Who may read may have a copy. */
    return has >= 0 && wants >= 0 &&
           (table[wants].can & ~((unsigned)CAN_COPY | table[has].can)) == 0;
}

bool mm_protect_allows_page(uint32_t view, uint32_t page)
{
    int has = base_index(view), wants = base_index(page);

    /* A view without access keeps none; any other may give all of it up. */
    return has >= 0 && wants >= 0 && (table[wants].can & ~table[has].can) == 0;
}

const char *mm_protect_name(uint32_t protect)
{
    int index = base_index(protect);

    if (protect == 0)
        return "0";
    if (index < 0)
        return "invalid";
    switch (protect & MODIFIERS) {
    case 0:
        return names[0][index];
    case PAGE_GUARD:
        return names[1][index];
    case PAGE_NOCACHE:
        return names[2][index];
    case PAGE_WRITECOMBINE:
        return names[3][index];
    default:
        return "invalid";
    }
}
