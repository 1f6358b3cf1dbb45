-- Until then the width is as a person set it, and the autoscaler leaves it.
ALTER TABLE queue_widths ADD COLUMN pinned_until BIGINT NOT NULL DEFAULT 0;
