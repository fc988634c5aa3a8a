/* SPDX-License-Identifier: MIT */
#include "plugin/carrier/carrier.h"

void carrier_event_free(struct carrier_event *e)
{
    buf_free(&e->text);
    *e = (struct carrier_event){0};
}
