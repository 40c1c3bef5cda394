"""The scene's json and its rows in the parquet index: the names under which provenance and measures are stored."""

import pyarrow as pa

SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("layer", pa.int64()),  # 0 = lowest
        ("num_layers", pa.int64()),
        ("difficulty", pa.string()),  # easy | medium | hard
        ("box", pa.list_(pa.int64())),  # left, top, right, bottom on the canvas
        ("scale", pa.float64()),  # placed size / library size
        ("flipped", pa.bool_()),
        ("rotation_deg", pa.float64()),
        ("size_class", pa.string()),  # small | medium | large
        ("amodal_area_px", pa.float64()),
        ("visible_area_px", pa.float64()),
        ("occluded_fraction", pa.float64()),
        ("occlusion_level", pa.string()),  # none | light | medium | heavy, as drawn
        ("border_contact", pa.bool_()),
        ("semi_transparent", pa.bool_()),
        ("foreground_id", pa.string()),
        ("foreground_source", pa.string()),
        ("foreground_kind", pa.string()),
        ("foreground_sha256", pa.string()),
        ("completeness", pa.string()),
        ("category", pa.string()),
        ("prompt", pa.string()),
        ("foreground_licence", pa.string()),
        ("foreground_attribution", pa.string()),
        ("mask_error", pa.string()),
        ("mask_iou", pa.float64()),
        ("mask_area_px", pa.int64()),
        ("background_id", pa.string()),
        ("background_source", pa.string()),
        ("background_sha256", pa.string()),
        ("background_rotation_deg_ccw", pa.int64()),
        ("background_crop", pa.list_(pa.int64())),  # left, top, side of the upright photograph
        ("background_licence", pa.string()),
        ("background_attribution", pa.string()),
        ("attempt", pa.int64()),  # the draw that was kept; 0 = the first
        ("draws", pa.list_(pa.string())),  # id@sha256[:12] of every asset drawn, rejected draws too
    ]
)
"""One row a layer. The json holds the same values: scene-wide ones at the top, the others under `layers`."""
