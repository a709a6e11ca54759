/*
 * What lies behind memory, by name: for messages, and for who looks at a process from outside.
 */
#include <stdio.h>

#include "loader/mm/data_object.h"
#include "loader/mm/held.h"
#include "loader/mm/maps.h"
#include "loader/mm/view_object.h"

const char *mm_range_name(const struct mm_range *range)
{
    if (range->view != NULL)
        return mm_section_name(range->view->section);
    return range->data != NULL ? range->data->data->source.name : "";
}

static bool host_name(uint64_t address, char *out, size_t size)
{
    struct mm_map_entry entry;
    struct mm_maps maps;
    bool found = false;

    if (!mm_maps_open(&maps))
        return false;
    while (!found && mm_maps_next(&maps, &entry) && entry.start <= address)
        found = address < entry.end && entry.path[0] != '\0';
    mm_maps_close(&maps);
    if (found)
        snprintf(out, size, "%s", entry.path);
    return found;
}

bool mm_region_name(uint64_t address, char *out, size_t size)
{
    const struct mm_range *range;
    bool own, named;

    mm_ranges_read_lock();
    range = mm_ranges_find(address);
    own = range != NULL || mm_held_from(address).base <= address;
    named = range != NULL && (range->view != NULL || range->data != NULL);
    if (named)
        snprintf(out, size, "%s", mm_range_name(range));
    mm_ranges_unlock();
    return own ? named : host_name(address, out, size);
}
