"""The ML backend that Label Studio asks for predictions and tells of annotations."""
