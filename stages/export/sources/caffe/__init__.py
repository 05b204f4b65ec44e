"""Caffe networks: prototxt (the layers) and caffemodel (their weights), read without Caffe."""
