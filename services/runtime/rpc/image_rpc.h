// ImageService over gRPC.
#pragma once

#include "darse/runtime/v1/image_service.grpc.pb.h"
#include "libs/base/clock.h"
#include "services/runtime/images/image_engine.h"

namespace darse::runtime {

// Thread-safe.
class ImageRpc final : public v1::ImageService::Service {
 public:
  ImageRpc(ImageEngine& images, Clock& clock) : images_(images), clock_(clock) {}

  grpc::Status GetImage(grpc::ServerContext* context, const v1::GetImageRequest* request,
                        v1::GetImageResponse* response) override;
  grpc::Status ListImages(grpc::ServerContext* context, const v1::ListImagesRequest* request,
                          v1::ListImagesResponse* response) override;
  grpc::Status DeleteImage(grpc::ServerContext* context, const v1::DeleteImageRequest* request,
                           v1::DeleteImageResponse* response) override;
  grpc::Status TagImage(grpc::ServerContext* context, const v1::TagImageRequest* request,
                        v1::TagImageResponse* response) override;
  grpc::Status LoadImages(grpc::ServerContext* context,
                          grpc::ServerReader<v1::LoadImagesRequest>* reader,
                          v1::LoadImagesResponse* response) override;
  grpc::Status SaveImages(grpc::ServerContext* context, const v1::SaveImagesRequest* request,
                          grpc::ServerWriter<v1::SaveImagesResponse>* writer) override;
  grpc::Status ImportImage(grpc::ServerContext* context,
                           grpc::ServerReader<v1::ImportImageRequest>* reader,
                           v1::ImportImageResponse* response) override;
  grpc::Status BootstrapImage(grpc::ServerContext* context,
                              const v1::BootstrapImageRequest* request,
                              grpc::ServerWriter<v1::BootstrapImageResponse>* writer) override;
  grpc::Status CreateImage(grpc::ServerContext* context, const v1::CreateImageRequest* request,
                           v1::CreateImageResponse* response) override;
  grpc::Status PruneImages(grpc::ServerContext* context, const v1::PruneImagesRequest* request,
                           v1::PruneImagesResponse* response) override;

 private:
  ImageEngine& images_;
  Clock& clock_;
};

}  // namespace darse::runtime
