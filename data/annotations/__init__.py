"""Joint boxes that come with a set, in the formats of annotation tools: COCO, YOLO and labelme."""
